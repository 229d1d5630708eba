package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/klauspost/compress/zip"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/store"
)

// zipOf packs members, each stored or deflated.
func zipOf(t testing.TB, method uint16, members ...string) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	for i := 0; i+1 < len(members); i += 2 {
		f, err := w.CreateHeader(&zip.FileHeader{Name: members[i], Method: method})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(f, members[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

var zips atomic.Int64 // stores made

func openZip(t testing.TB, data []byte) (*store.Zip, *countingSource, error) {
	t.Helper()
	ctx := context.Background()
	st, err := store.Open(ctx, fmt.Sprintf("mem://zip-%d", zips.Add(1)))
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Put(ctx, "a.zip", data); err != nil {
		t.Fatal(err)
	}
	obj, err := st.Stat(ctx, "a.zip")
	if err != nil {
		t.Fatal(err)
	}
	src, err := st.Open(ctx, obj)
	if err != nil {
		t.Fatal(err)
	}
	c := &countingSource{Source: src}
	z, err := store.OpenZip(ctx, c)
	return z, c, err
}

// countingSource counts requests.
type countingSource struct {
	pipeline.Source
	requests int
	bytes    int64
}

func (c *countingSource) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	c.requests++
	n, err := c.Source.ReadAt(ctx, p, off)
	c.bytes += int64(n)
	return n, err
}

func (c *countingSource) Reader(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	c.requests++
	c.bytes += n
	return c.Source.Reader(ctx, off, n)
}

func TestZipMembers(t *testing.T) {
	ctx := context.Background()
	text := strings.Repeat("date,serial_number,model\n", 10_000)
	for _, method := range []uint16{zip.Store, zip.Deflate} {
		t.Run(fmt.Sprint("method ", method), func(t *testing.T) {
			z, c, err := openZip(t, zipOf(t, method, "q/", "", "q/one.csv", text, "q/two.csv", "b", "empty.csv", ""))
			if err != nil {
				t.Fatal(err)
			}
			if n := len(z.Members()); n != 3 || c.requests > 2 {
				t.Fatalf("%d members after %d requests", n, c.requests)
			}
			again, _, err := openZip(t, zipOf(t, zip.Deflate, "x", "y", "q/one.csv", text))
			if err != nil || again.Members()[1].ETag != z.Members()[0].ETag {
				t.Error("the same content has another identity in another zip", err)
			}
			src, err := z.Open(z.Members()[0])
			if err != nil {
				t.Fatal(err)
			}
			for _, part := range [][2]int64{{0, -1}, {0, int64(len(text))}, {5, 100}, {1000, -1}, {int64(len(text)), -1}, {7, 1 << 40}} {
				r, err := src.Reader(ctx, part[0], part[1])
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(r)
				if err != nil {
					t.Fatal(err)
				}
				r.Close()
				want := text[part[0]:]
				if part[1] >= 0 && part[1] < int64(len(want)) {
					want = want[:part[1]]
				}
				if string(got) != want {
					t.Errorf("range %v: %d bytes, want %d", part, len(got), len(want))
				}
			}
			for _, off := range []int64{0, 100, 50, int64(len(text)) - 10} {
				p := make([]byte, 20)
				n, err := src.ReadAt(ctx, p, off)
				want := text[off:min(off+20, int64(len(text)))]
				if string(p[:n]) != want || (err != nil) != (n < 20) || err != nil && !errors.Is(err, io.EOF) {
					t.Errorf("at %d: %q, %v", off, p[:n], err)
				}
			}
			changed := z.Members()[0]
			changed.ETag = "crc32-00000000-1"
			if _, err := z.Open(changed); !errors.Is(err, pipeline.ErrChanged) {
				t.Errorf("a changed member: %v", err)
			}
		})
	}
}

// A member whose beginning was looked at is read once: the stream goes on.
func TestZipMemberReadOnce(t *testing.T) {
	ctx := context.Background()
	text := strings.Repeat("date,serial_number,model\n", 10_000)
	for _, looks := range [][]int{{4096}, {4096, 8192}, {100, 50, 5000}, {4096, 4096}} {
		z, c, err := openZip(t, zipOf(t, zip.Deflate, "one.csv", text))
		if err != nil {
			t.Fatal(err)
		}
		src, err := z.Open(z.Members()[0])
		if err != nil {
			t.Fatal(err)
		}
		c.requests = 0
		for _, n := range looks {
			p := make([]byte, n)
			if _, err := src.ReadAt(ctx, p, 0); err != nil || string(p) != text[:n] {
				t.Fatalf("%d bytes: %v", n, err)
			}
		}
		for i, want := range []int{1, 2} {
			r, err := src.Reader(ctx, 0, -1)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(r)
			if err := errors.Join(err, r.Close()); err != nil || string(got) != text {
				t.Fatalf("%d bytes, %v", len(got), err)
			}
			if c.requests != want {
				t.Errorf("looks %v, reader %d: %d requests, want %d", looks, i, c.requests, want)
			}
		}
	}
	// A stream whose context has ended is not gone on with.
	z, _, err := openZip(t, zipOf(t, zip.Deflate, "one.csv", text))
	if err != nil {
		t.Fatal(err)
	}
	src, err := z.Open(z.Members()[0])
	if err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(ctx)
	if _, err := src.ReadAt(ended, make([]byte, 10), 0); err != nil {
		t.Fatal(err)
	}
	cancel()
	p := make([]byte, 20)
	if _, err := src.ReadAt(ctx, p, 5); err != nil || string(p) != text[5:25] {
		t.Errorf("%q, %v", p, err)
	}
	r, err := src.Reader(ctx, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); err != nil || string(got) != text {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// readMembers reads everything there is; it must end.
func readMembers(z *store.Zip) error {
	var errs []error
	for _, m := range z.Members() {
		src, err := z.Open(m)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		r, err := src.Reader(context.Background(), 0, -1)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		_, err = io.Copy(io.Discard, r)
		errs = append(errs, err)
		r.Close()
	}
	return errors.Join(errs...)
}

// A bit that flips anywhere gives an error or the same bytes; a cut always an
// error.
func TestZipDamage(t *testing.T) {
	data := zipOf(t, zip.Deflate, "a.csv", strings.Repeat("1,2,3\n", 50), "b.csv", "x")
	for n := range data {
		z, _, err := openZip(t, data[:n])
		if err == nil {
			err = readMembers(z)
		}
		if err == nil {
			t.Errorf("cut after %d of %d bytes: no error", n, len(data))
		}
	}
	at := bytes.Index(data, []byte("a.csv")) + 8
	flipped := bytes.Clone(data)
	flipped[at] ^= 4
	z, _, err := openZip(t, flipped)
	if err != nil {
		t.Fatal(err)
	}
	if err := readMembers(z); err == nil || !strings.Contains(err.Error(), "a.zip!a.csv") {
		t.Errorf("a flipped bit: %v", err)
	}
	if _, _, err := openZip(t, zipOf(t, zip.Store, "a", "1", "a", "2")); !errors.Is(err, pipeline.ErrCorrupt) {
		t.Errorf("two members of one name: %v", err)
	}
	encrypted := bytes.Clone(data)
	dir := bytes.Index(encrypted, []byte("PK\x01\x02"))
	encrypted[dir+8] |= 1
	if z, _, err = openZip(t, encrypted); err != nil {
		t.Fatal(err)
	}
	if err := readMembers(z); !errors.Is(err, pipeline.ErrUnsupported) {
		t.Errorf("an encrypted member: %v", err)
	}
}

func TestSafeMember(t *testing.T) {
	for name, want := range map[string]bool{
		"a.csv": true, "q/a.csv": true, "a..b.csv": true, "../a.csv": false, "/a.csv": false, "q/../../a.csv": false, "q\\a.csv": false,
		"__MACOSX/q/._a.csv": false, "q/.DS_Store": false, "q//a.csv": false, "..": false,
	} {
		if ok, why := store.SafeMember(name); ok != want || ok == (why != "") {
			t.Errorf("%s: %v, %s", name, ok, why)
		}
	}
}

func FuzzZip(f *testing.F) {
	f.Add(zipOf(f, zip.Deflate, "a.csv", "1,2,3\n", "b", ""))
	f.Add(zipOf(f, zip.Store, "a.csv", "1,2,3\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if z, _, err := openZip(t, data); err == nil {
			_ = readMembers(z)
		}
	})
}
