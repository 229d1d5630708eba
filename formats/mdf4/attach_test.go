package mdf4

import (
	"bytes"
	"compress/zlib"
	"context"
	"crypto/md5"
	"errors"
	"io"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"github.com/drivemill/drivemill/formats/mdf4/mdf4test"
	"github.com/drivemill/drivemill/pipeline"
)

// beside is a source with a neighbour.
type beside struct {
	pipeline.Source
	files map[string]pipeline.Source
}

func (b beside) Beside(_ context.Context, name string) (pipeline.Source, error) {
	if s, ok := b.files[name]; ok {
		return s, nil
	}
	return nil, pipeline.ErrNotFound
}

func TestAttachments(t *testing.T) {
	text := bytes.Repeat([]byte("some text of an attachment "), 20)
	pack := map[string]func(io.Writer) io.WriteCloser{
		"zlib": func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) },
		"lz4":  func(w io.Writer) io.WriteCloser { return lz4.NewWriter(w) },
		"zstd": func(w io.Writer) io.WriteCloser {
			z, err := zstd.NewWriter(w)
			if err != nil {
				t.Fatal(err)
			}
			return z
		},
	}
	open := func(t *testing.T, a *mdf4test.Attachment) ([]byte, error) {
		t.Helper()
		src := beside{object(t, (&mdf4test.File{Version: 430, Attachments: []*mdf4test.Attachment{a}}).Bytes()), nil}
		src.files = map[string]pipeline.Source{"sub/a.txt": object(t, text)}
		d, err := New().Describe(t.Context(), src)
		if err != nil {
			t.Fatal(err)
		}
		in, err := New().OpenAttachment(t.Context(), src, d, 0)
		if err != nil {
			return nil, err
		}
		defer in.Close()
		return io.ReadAll(in)
	}
	for name, flags := range map[string]struct {
		flags uint16
		zip   uint8
	}{"plain": {1 | 4, 0}, "zlib": {1 | 2 | 4, 0}, "zstd": {1 | 4 | 8, 2}, "lz4": {1 | 4 | 8, 4}} {
		t.Run("33 "+name, func(t *testing.T) {
			stored := text
			if p := pack[name]; p != nil {
				var b bytes.Buffer
				w := p(&b)
				if _, err := w.Write(text); err != nil {
					t.Fatal(err)
				}
				if err := w.Close(); err != nil {
					t.Fatal(err)
				}
				stored = b.Bytes()
			}
			a := &mdf4test.Attachment{Name: "a.txt", Flags: flags.flags, ZipType: flags.zip, MD5: md5.Sum(text), Size: uint64(len(text)), Bytes: stored}
			if got, err := open(t, a); err != nil || !bytes.Equal(got, text) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
			a.MD5[3]++
			if _, err := open(t, a); !errors.Is(err, pipeline.ErrCorrupt) {
				t.Errorf("a wrong checksum: %v", err)
			}
			a.MD5[3]--
			a.Size++
			if _, err := open(t, a); !errors.Is(err, pipeline.ErrTruncated) {
				t.Errorf("a byte too few: %v", err)
			}
			a.Size -= 2
			if _, err := open(t, a); !errors.Is(err, pipeline.ErrCorrupt) {
				t.Errorf("a byte too many: %v", err)
			}
		})
	}
	t.Run("33 external", func(t *testing.T) {
		if got, err := open(t, &mdf4test.Attachment{Name: `.\sub\a.txt`}); err != nil || !bytes.Equal(got, text) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		for name, kind := range map[string]error{`..\a.txt`: pipeline.ErrUnsupported, "/etc/passwd": pipeline.ErrUnsupported, `C:\a.txt`: pipeline.ErrUnsupported, "": pipeline.ErrUnsupported, "other": pipeline.ErrNotFound} {
			if _, err := open(t, &mdf4test.Attachment{Name: name}); !errors.Is(err, kind) {
				t.Errorf("%q: %v", name, err)
			}
		}
	})
}

func TestMetadata(t *testing.T) {
	t.Run("2 unknown blocks and links that lead nowhere", func(t *testing.T) {
		f := single([][]byte{{7}}, field("x", mdf4test.UnsignedLE, 8))
		f.Groups = append(f.Groups, single([][]byte{{8}}, field("y", mdf4test.UnsignedLE, 8)).Groups...)
		f.Groups[1].Groups[0].Name = "other"
		data := f.Bytes()
		// The conversion link of y leads into nothing.
		at := bytes.Index(data, []byte("y\x00"))
		if at < 0 {
			t.Fatal("no name")
		}
		link := findLink(t, data, int64(at-24))
		copy(data[link+16:], mdf4test.LE(uint64(len(data)+800))) // two links behind the name
		r, err := read(t, New(), object(t, data), pipeline.Selection{}, pipeline.DecodeOptions{})
		if err != nil {
			t.Fatal(err)
		}
		r.want(t, "x", "7")
		if !r.problem("bad_link") {
			t.Errorf("problems %v", r.desc.Problems)
		}
	})
	t.Run("events, comments and history", func(t *testing.T) {
		f := single([][]byte{{7}}, field("x", mdf4test.UnsignedLE, 8))
		f.Comment = "<HDcomment><TX>a drive</TX><common_properties><e name=\"author\">somebody</e></common_properties></HDcomment>"
		f.Events = []*mdf4test.Event{{Name: "start", Type: 3, Sync: 1, Base: 5, Factor: 0.1}}
		kinds := make(map[string]pipeline.Detail)
		for _, d := range mustRead(t, f).desc.Details {
			kinds[d.Kind] = d
		}
		value := func(kind, name string) string {
			for _, x := range kinds[kind].Fields {
				if x.Name == name {
					return x.Value
				}
			}
			return ""
		}
		for _, c := range [][3]string{{"header", "comment", "a drive"}, {"header", "author", "somebody"}, {"event", "type", "start trigger"}, {"event", "at", "0.5 s"}, {"history", "comment", "written for a test"}} {
			if got := value(c[0], c[1]); got != c[2] {
				t.Errorf("%s of %s: %q, want %q; %+v", c[1], c[0], got, c[2], kinds[c[0]])
			}
		}
	})
}
