package pipetest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/store"
)

// Store checks that a store keeps the contract of pipeline.Store. Each call of
// open gives an empty store.
func Store(t *testing.T, open func(t *testing.T) pipeline.Store) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, s pipeline.Store)
	}{
		{"empty", storeEmpty},
		{"nasty keys", storeNastyKeys},
		{"many pages", storeManyPages},
		{"list stops", storeListStops},
		{"bad keys", storeBadKeys},
		{"ranges", storeRanges},
		{"empty object", storeEmptyObject},
		{"big object", storeBigObject},
		{"publish", storePublish},
		{"abort", storeAbort},
		{"writer states", storeWriterStates},
		{"replace", storeReplace},
		{"create if absent", storeCreateIfAbsent},
		{"changed", storeChanged},
		{"delete", storeDelete},
		{"concurrent writers", storeConcurrentWriters},
		{"cancelled", storeCancelled},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantKind checks the kind of an error, and that it names the key.
func wantKind(t *testing.T, err, kind error, key string) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Fatalf("got error %v, want %v", err, kind)
	}
	if !strings.Contains(err.Error(), key) {
		t.Errorf("error does not name %s: %v", key, err)
	}
}

func keys(t *testing.T, s pipeline.Store, prefix string) []string {
	t.Helper()
	var got []string
	ok(t, s.List(t.Context(), prefix, func(o pipeline.Object) error {
		got = append(got, o.Key)
		return nil
	}))
	return got
}

func wantKeys(t *testing.T, s pipeline.Store, prefix string, want ...string) {
	t.Helper()
	if got := keys(t, s, prefix); !slices.Equal(got, want) {
		t.Errorf("list of %q:\n got %q\nwant %q", prefix, got, want)
	}
}

// wantNoUploads checks that nothing unfinished is left.
func wantNoUploads(t *testing.T, s pipeline.Store) {
	t.Helper()
	ok(t, store.Uploads(t.Context(), s, func(u store.Upload) error {
		t.Errorf("unfinished upload is left: %+v", u)
		return nil
	}))
}

func write(t *testing.T, s pipeline.Store, key string, data []byte) {
	t.Helper()
	w, err := s.Create(t.Context(), key)
	ok(t, err)
	_, err = w.Write(data)
	ok(t, err)
	ok(t, w.Finish(t.Context()))
	ok(t, w.Publish(t.Context()))
}

func source(t *testing.T, s pipeline.Store, key string) pipeline.Source {
	t.Helper()
	obj, err := s.Stat(t.Context(), key)
	ok(t, err)
	src, err := s.Open(t.Context(), obj)
	ok(t, err)
	return src
}

// stream reads n bytes from off with Reader.
func stream(t *testing.T, src pipeline.Source, off, n int64) []byte {
	t.Helper()
	r, err := src.Reader(t.Context(), off, n)
	ok(t, err)
	data, err := io.ReadAll(r)
	ok(t, err)
	ok(t, r.Close())
	return data
}

// noise is n bytes that look random and are the same every time.
func noise(n int) []byte {
	data := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(data)
	return data
}

func storeEmpty(t *testing.T, s pipeline.Store) {
	wantKeys(t, s, "")
	wantKeys(t, s, "no/such/")
	_, err := s.Stat(t.Context(), "no/such")
	wantKind(t, err, pipeline.ErrNotFound, "no/such")
	if pipeline.IsTransient(err) {
		t.Errorf("not found is transient: %v", err)
	}
	_, err = s.Get(t.Context(), "no/such")
	wantKind(t, err, pipeline.ErrNotFound, "no/such")
	ok(t, s.Delete(t.Context(), "no/such"))
	if root := s.Root(); root == "" || len(root) > 1 && strings.HasSuffix(root, "/") {
		t.Errorf("root %q", root)
	}
}

func storeNastyKeys(t *testing.T, s pipeline.Store) {
	nasty := []string{
		"a-b", "a.b", "a/b", "a/b-c", "a/b.c", "a/bc/d", "a0", "ab/c", "a+b", "a b/c d", "a%20b", "a%2Fb", "a&b=c;d", "a'b\"c",
		"a#b?c", "a<b>c", "a~b", "A/b", "ä/ö", "车/辆.bag", "e\u0301", "drive_date=2024-03-01/x-1-0.parquet", ".hidden", "-dash/x", "a/.b",
		"_drivemill/commits/x", "_drivemill/tmpx", "{x}*[y]", "$HOME", "a:b", "a@b,c", "...", "a/...",
	}
	for _, k := range nasty {
		ok(t, s.Put(t.Context(), k, []byte("of "+k)))
	}
	sort.Strings(nasty)
	wantKeys(t, s, "", nasty...)
	for _, prefix := range []string{"a", "a/", "a/b", "a/bc/", "a ", "ä", "车/辆", "_drivemill/", "zz", "a/bc/d", "..", "../", "/", "a//", "-"} {
		var want []string
		for _, k := range nasty {
			if strings.HasPrefix(k, prefix) {
				want = append(want, k)
			}
		}
		wantKeys(t, s, prefix, want...)
	}
	ok(t, s.List(t.Context(), "", func(o pipeline.Object) error {
		want := "of " + o.Key
		if o.Size != int64(len(want)) || o.ETag == "" || o.URI != strings.TrimPrefix(s.Root()+"/"+o.Key, "./") {
			t.Errorf("listed %+v", o)
		}
		if stat, err := s.Stat(t.Context(), o.Key); err != nil || stat != o {
			t.Errorf("stat says %+v, %v, list %+v", stat, err, o)
		}
		src, err := s.Open(t.Context(), o)
		ok(t, err)
		if got := stream(t, src, 0, -1); string(got) != want {
			t.Errorf("%q reads %q", o.Key, got)
		}
		if got, err := s.Get(t.Context(), o.Key); err != nil || string(got) != want {
			t.Errorf("get %q: %q, %v", o.Key, got, err)
		}
		return nil
	}))
	for _, k := range nasty {
		ok(t, s.Delete(t.Context(), k))
	}
	wantKeys(t, s, "")
}

// storeManyPages lists more than S3 returns at once.
func storeManyPages(t *testing.T, s pipeline.Store) {
	all := make([]string, 2100)
	for i := range all {
		all[i] = fmt.Sprintf("many/%c/%05d", 'a'+i%3, i)
	}
	work := make(chan string)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for key := range work {
				if err := s.Put(t.Context(), key, nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for _, key := range all {
		work <- key
	}
	close(work)
	wg.Wait()
	sort.Strings(all)
	ok(t, s.Put(t.Context(), "many-more", nil))
	ok(t, s.Put(t.Context(), "many.more", nil))
	wantKeys(t, s, "many/", all...)
	wantKeys(t, s, "", append([]string{"many-more", "many.more"}, all...)...)
}

func storeListStops(t *testing.T, s pipeline.Store) {
	for _, k := range []string{"a", "b/c", "d"} {
		ok(t, s.Put(t.Context(), k, nil))
	}
	stop := errors.New("enough")
	var seen []string
	err := s.List(t.Context(), "", func(o pipeline.Object) error {
		seen = append(seen, o.Key)
		if o.Key == "b/c" {
			return stop
		}
		return nil
	})
	if !errors.Is(err, stop) || len(seen) != 2 {
		t.Errorf("list ended with %v after %q", err, seen)
	}
}

func storeBadKeys(t *testing.T, s pipeline.Store) {
	for _, k := range []string{"", "/", "/etc/x", "..", "../x", "a/../../x", "a/..", "a//b", "a/", "./a", "a/./b", "a\x00b", "_drivemill/tmp", "_drivemill/tmp/x"} {
		if err := s.Put(t.Context(), k, nil); err == nil {
			t.Errorf("put %q succeeds", k)
		}
		if err := s.PutIfAbsent(t.Context(), k, nil); err == nil {
			t.Errorf("create if absent %q succeeds", k)
		}
		if _, err := s.Create(t.Context(), k); err == nil {
			t.Errorf("create %q succeeds", k)
		}
		if err := s.Delete(t.Context(), k); err == nil {
			t.Errorf("delete %q succeeds", k)
		}
	}
	wantKeys(t, s, "")
}

func storeRanges(t *testing.T, s pipeline.Store) {
	data := noise(1000)
	ok(t, s.Put(t.Context(), "x", data))
	src := source(t, s, "x")
	if o := src.Object(); o.Size != 1000 || o.Key != "x" {
		t.Errorf("object %+v", o)
	}
	for _, r := range []struct{ off, n int64 }{{0, 0}, {0, 1}, {0, 1000}, {0, 1001}, {1, 999}, {999, 1}, {999, 2}, {1000, 0}, {1000, 1}, {2000, 1}, {500, 100}} {
		want := data[min(r.off, 1000):min(r.off+r.n, 1000)]
		p := make([]byte, r.n)
		n, err := src.ReadAt(t.Context(), p, r.off)
		if int64(n) < r.n && !errors.Is(err, io.EOF) || int64(n) == r.n && err != nil && !errors.Is(err, io.EOF) || !bytes.Equal(p[:n], want) {
			t.Errorf("read at %d of %d: %d bytes, %v", r.off, r.n, n, err)
		}
		if got := stream(t, src, r.off, r.n); !bytes.Equal(got, want) {
			t.Errorf("stream from %d of %d: %d bytes, want %d", r.off, r.n, len(got), len(want))
		}
		if got := stream(t, src, r.off, -1); !bytes.Equal(got, data[min(r.off, 1000):]) {
			t.Errorf("stream from %d: %d bytes", r.off, len(got))
		}
	}
	if _, err := src.ReadAt(t.Context(), make([]byte, 1), -1); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("read at -1: %v", err)
	}
	if _, err := src.Reader(t.Context(), -1, 1); err == nil {
		t.Error("stream from -1 opens")
	}
}

func storeEmptyObject(t *testing.T, s pipeline.Store) {
	ok(t, s.Put(t.Context(), "put", nil))
	ok(t, s.PutIfAbsent(t.Context(), "absent", nil))
	w, err := s.Create(t.Context(), "created")
	ok(t, err)
	ok(t, w.Finish(t.Context()))
	ok(t, w.Publish(t.Context()))
	for _, k := range []string{"put", "absent", "created"} {
		src := source(t, s, k)
		if n, err := src.ReadAt(t.Context(), make([]byte, 1), 0); n != 0 || !errors.Is(err, io.EOF) || src.Object().Size != 0 {
			t.Errorf("%s: read %d, %v, size %d", k, n, err, src.Object().Size)
		}
		if got := stream(t, src, 0, -1); len(got) != 0 {
			t.Errorf("%s: stream of %d bytes", k, len(got))
		}
		if got, err := s.Get(t.Context(), k); err != nil || len(got) != 0 {
			t.Errorf("%s: get %q, %v", k, got, err)
		}
	}
}

func storeBigObject(t *testing.T, s pipeline.Store) {
	data := noise(20<<20 + 12345)
	w, err := s.Create(t.Context(), "big/one")
	ok(t, err)
	// Chunks of odd sizes, some of which span parts.
	for i, rest := 0, data; len(rest) > 0; i++ {
		n := min([]int{1, 70_001, 3_000_017, 9 << 20}[i%4], len(rest))
		m, err := w.Write(rest[:n])
		if m != n || err != nil {
			t.Fatalf("write of %d: %d, %v", n, m, err)
		}
		rest = rest[n:]
	}
	ok(t, w.Finish(t.Context()))
	wantKeys(t, s, "")
	ok(t, w.Publish(t.Context()))
	wantKeys(t, s, "", "big/one")
	wantNoUploads(t, s)

	src := source(t, s, "big/one")
	if src.Object().Size != int64(len(data)) {
		t.Fatalf("size %d, want %d", src.Object().Size, len(data))
	}
	if got := stream(t, src, 0, -1); !bytes.Equal(got, data) {
		t.Error("stream differs from what was written")
	}
	p := make([]byte, len(data)+1)
	if n, err := src.ReadAt(t.Context(), p, 0); n != len(data) || !errors.Is(err, io.EOF) || !bytes.Equal(p[:n], data) {
		t.Errorf("read at 0: %d, %v, or bytes differ", n, err)
	}
	for _, off := range []int64{1, 8<<20 - 1, 8 << 20, 8<<20 + 1, 16<<20 - 100, 20 << 20} {
		n := min(9<<20, len(data)-int(off))
		if m, err := src.ReadAt(t.Context(), p[:n], off); m != n || err != nil && !errors.Is(err, io.EOF) || !bytes.Equal(p[:n], data[off:int(off)+n]) {
			t.Errorf("read at %d of %d: %d, %v, or bytes differ", off, n, m, err)
		}
		if got := stream(t, src, off, int64(n)); !bytes.Equal(got, data[off:int(off)+n]) {
			t.Errorf("stream from %d differs", off)
		}
	}
	// A reader that is closed early leaves nothing behind and can be read no more.
	r, err := src.Reader(t.Context(), 0, -1)
	ok(t, err)
	_, err = io.ReadFull(r, p[:100])
	ok(t, err)
	ok(t, r.Close())
	if _, err := r.Read(p); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("read after close: %v", err)
	}
	// One source serves many at once.
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			p := make([]byte, 100_000)
			off := int64(i) * 2_000_000
			if _, err := src.ReadAt(t.Context(), p, off); err != nil || !bytes.Equal(p, data[off:off+int64(len(p))]) {
				t.Errorf("concurrent read at %d: %v, or bytes differ", off, err)
			}
		})
	}
	wg.Wait()
}
