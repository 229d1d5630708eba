package store_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/store"
)

func gzipped(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zstded(t testing.TB, data []byte, opts ...zstd.EOption) []byte {
	t.Helper()
	z, err := zstd.NewWriter(nil, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return z.EncodeAll(data, nil)
}

func TestDecompress(t *testing.T) {
	text := bytes.Repeat([]byte("date,serial_number,failure\n"), 10_000)
	skippable := append([]byte("\x50\x2a\x4d\x18\x04\x00\x00\x00abcd"), zstded(t, text)...)
	for _, c := range []struct {
		name, codec string
		data, want  []byte
	}{
		{"x.csv", "none", text, text},
		{"x.csv.gz", "gzip", gzipped(t, text), text},
		{"two members.gz", "gzip", append(gzipped(t, text[:1000]), gzipped(t, text[1000:])...), text},
		{"x.csv.zst", "zstd", zstded(t, text), text},
		{"two frames.zst", "zstd", append(zstded(t, text[:1000]), zstded(t, text[1000:])...), text},
		{"skippable.zst", "zstd", skippable, text},
		{"misnamed.csv", "gzip", gzipped(t, text), text},
		{"not really.gz", "none", text, text},
		{"empty", "none", nil, nil},
		{"empty.gz", "gzip", gzipped(t, nil), nil},
		{"short", "none", []byte("a\n"), []byte("a\n")},
	} {
		r, codec, err := store.Decompress(c.name, iotest.HalfReader(bytes.NewReader(c.data)))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		got, err := io.ReadAll(r)
		if err != nil || codec != c.codec || !bytes.Equal(got, c.want) {
			t.Errorf("%s: codec %s, %d bytes, %v", c.name, codec, len(got), err)
		}
		if err := r.Close(); err != nil {
			t.Errorf("%s: close: %v", c.name, err)
		}
	}
}

func TestDecompressErrors(t *testing.T) {
	text := bytes.Repeat([]byte("some text, "), 10_000)
	broken := func(data []byte, at int) []byte {
		data = bytes.Clone(data)
		data[at] ^= 0xff
		return data
	}
	gz, zs := gzipped(t, text), zstded(t, text, zstd.WithEncoderCRC(true))
	// A frame header that asks for a window of 512 MiB, and one empty block.
	huge := []byte("\x28\xb5\x2f\xfd\x00\x98\x01\x00\x00")
	for _, c := range []struct {
		name string
		data []byte
		kind error
	}{
		{"cut.gz", gz[:len(gz)/2], pipeline.ErrTruncated},
		{"cut header.gz", gz[:6], pipeline.ErrTruncated},
		{"crc.gz", broken(gz, len(gz)-6), pipeline.ErrCorrupt},
		{"cut.zst", zs[:len(zs)/2], pipeline.ErrTruncated},
		{"crc.zst", broken(zs, len(zs)-1), pipeline.ErrCorrupt},
		{"window.zst", huge, pipeline.ErrLimit},
	} {
		r, _, err := store.Decompress(c.name, bytes.NewReader(c.data))
		if err == nil {
			_, err = io.Copy(io.Discard, r)
			r.Close()
		}
		if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.name) {
			t.Errorf("%s: %v, want %v", c.name, err, c.kind)
		}
	}
	// A fault of the source is not a fault of the stream.
	lost := pipeline.Transient(errors.New("connection lost"))
	for _, data := range [][]byte{gz, zs, text} {
		r, codec, err := store.Decompress("x", io.MultiReader(bytes.NewReader(data[:len(data)/2]), iotest.ErrReader(lost)))
		if err == nil {
			_, err = io.Copy(io.Discard, r)
			r.Close()
		}
		if !pipeline.IsTransient(err) || errors.Is(err, pipeline.ErrCorrupt) {
			t.Errorf("%s: %v", codec, err)
		}
	}
}

func FuzzDecompress(f *testing.F) {
	for _, s := range [][]byte{gzipped(f, []byte("hello")), zstded(f, []byte("hello")), []byte("hello"), nil} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, _, err := store.Decompress("x", bytes.NewReader(data))
		if err != nil {
			return
		}
		defer r.Close()
		if _, err := io.Copy(io.Discard, io.LimitReader(r, 16<<20)); err != nil {
			var de *pipeline.DecodeError
			if !errors.As(err, &de) {
				t.Fatalf("%#v", err)
			}
		}
	})
}
