package pipetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/store"
)

func storePublish(t *testing.T, s pipeline.Store) {
	for _, size := range []int{10, 100_000, 9 << 20} {
		key := fmt.Sprintf("dir/of %d", size)
		data := noise(size)
		w, err := s.Create(t.Context(), key)
		ok(t, err)
		invisible := func(when string) {
			t.Helper()
			if got := keys(t, s, key); len(got) > 0 {
				t.Errorf("%s is listed %s", key, when)
			}
			_, err := s.Stat(t.Context(), key)
			wantKind(t, err, pipeline.ErrNotFound, key)
		}
		invisible("after create")
		_, err = w.Write(data)
		ok(t, err)
		invisible("after write")
		ok(t, w.Finish(t.Context()))
		invisible("after finish")
		ok(t, w.Publish(t.Context()))
		ok(t, w.Abort(t.Context()))
		if got := stream(t, source(t, s, key), 0, -1); !bytes.Equal(got, data) {
			t.Errorf("%s: bytes differ", key)
		}
	}
	wantNoUploads(t, s)
}

func storeAbort(t *testing.T, s pipeline.Store) {
	for _, size := range []int{0, 10, 100_000, 20 << 20} {
		for _, finish := range []bool{false, true} {
			w, err := s.Create(t.Context(), "never")
			ok(t, err)
			_, err = w.Write(noise(size))
			ok(t, err)
			if finish {
				ok(t, w.Finish(t.Context()))
			}
			ok(t, w.Abort(t.Context()))
			ok(t, w.Abort(t.Context()))
			if err := w.Publish(t.Context()); err == nil {
				t.Error("publish after abort succeeds")
			}
		}
	}
	wantKeys(t, s, "")
	wantNoUploads(t, s)
	// Unfinished objects can be found and removed.
	w, err := s.Create(t.Context(), "left/behind")
	ok(t, err)
	_, err = w.Write(noise(20 << 20))
	ok(t, err)
	ok(t, w.Finish(t.Context()))
	ok(t, store.Uploads(t.Context(), s, func(u store.Upload) error { return store.AbortUpload(t.Context(), s, u) }))
	wantNoUploads(t, s)
	ok(t, w.Abort(t.Context()))
}

func storeWriterStates(t *testing.T, s pipeline.Store) {
	w, err := s.Create(t.Context(), "x")
	ok(t, err)
	if err := w.Publish(t.Context()); err == nil {
		t.Error("publish before finish succeeds")
	}
	ok(t, w.Finish(t.Context()))
	if _, err := w.Write([]byte("x")); err == nil {
		t.Error("write after finish succeeds")
	}
	if err := w.Finish(t.Context()); err == nil {
		t.Error("second finish succeeds")
	}
	ok(t, w.Publish(t.Context()))
	if err := w.Publish(t.Context()); err == nil {
		t.Error("second publish succeeds")
	}
	wantKeys(t, s, "", "x")
}

func storeReplace(t *testing.T, s pipeline.Store) {
	write(t, s, "x", []byte("first"))
	write(t, s, "x", []byte("the second"))
	ok(t, s.Put(t.Context(), "x", []byte("third")))
	got, err := s.Get(t.Context(), "x")
	if err != nil || string(got) != "third" {
		t.Errorf("got %q, %v", got, err)
	}
	// Readers see one version or the other, whole.
	short, long := bytes.Repeat([]byte("a"), 1000), bytes.Repeat([]byte("b"), 200_000)
	ok(t, s.Put(t.Context(), "y", short))
	var writers, readers sync.WaitGroup
	done := make(chan struct{})
	for _, data := range [][]byte{short, long} {
		writers.Go(func() {
			for range 20 {
				if err := s.Put(t.Context(), "y", data); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				got, err := s.Get(t.Context(), "y")
				if errors.Is(err, pipeline.ErrChanged) {
					continue
				}
				if err != nil || !bytes.Equal(got, short) && !bytes.Equal(got, long) {
					t.Errorf("saw a mixture of %d bytes, %v", len(got), err)
					return
				}
			}
		})
	}
	writers.Wait()
	close(done)
	readers.Wait()
}

func storeCreateIfAbsent(t *testing.T, s pipeline.Store) {
	const creators = 16
	for round := range 3 {
		key := fmt.Sprintf("_drivemill/commits/%d", round)
		var mu sync.Mutex
		var winners [][]byte
		var wg sync.WaitGroup
		start := make(chan struct{})
		for i := range creators {
			wg.Go(func() {
				data := bytes.Repeat([]byte{byte('a' + i)}, 50_000)
				<-start
				err := s.PutIfAbsent(t.Context(), key, data)
				switch {
				case err == nil:
					mu.Lock()
					winners = append(winners, data)
					mu.Unlock()
				case !errors.Is(err, pipeline.ErrExists):
					t.Errorf("creator %d: %v", i, err)
				case !strings.Contains(err.Error(), key) || pipeline.IsTransient(err):
					t.Errorf("error does not name %s, or is transient: %v", key, err)
				}
				// Whoever lost sees the winner's object at once.
				if got, err := s.Get(t.Context(), key); err != nil || len(got) != len(data) {
					t.Errorf("creator %d reads %d bytes, %v", i, len(got), err)
				}
			})
		}
		close(start)
		wg.Wait()
		if len(winners) != 1 {
			t.Fatalf("%d of %d creators won", len(winners), creators)
		}
		if got, err := s.Get(t.Context(), key); err != nil || !bytes.Equal(got, winners[0]) {
			t.Errorf("the object is not the winner's: %v", err)
		}
	}
	wantNoUploads(t, s)
	ok(t, s.Delete(t.Context(), "_drivemill/commits/0"))
	ok(t, s.PutIfAbsent(t.Context(), "_drivemill/commits/0", []byte("again")))
}

func storeChanged(t *testing.T, s pipeline.Store) {
	big := noise(20 << 20)
	write(t, s, "x", big)
	src := source(t, s, "x")
	r, err := src.Reader(t.Context(), 0, -1)
	ok(t, err)
	defer r.Close()
	ok(t, s.Put(t.Context(), "x", []byte("something else")))
	if o, err := s.Stat(t.Context(), "x"); err != nil || o.ETag == src.Object().ETag {
		t.Errorf("the etag did not change: %+v, %v", o, err)
	}
	_, err = src.ReadAt(t.Context(), make([]byte, 10), 0)
	wantKind(t, err, pipeline.ErrChanged, "x")
	_, err = src.ReadAt(t.Context(), make([]byte, 9<<20), 1<<20)
	wantKind(t, err, pipeline.ErrChanged, "x")
	if pipeline.IsTransient(err) {
		t.Errorf("a changed object is transient: %v", err)
	}
	late, err := src.Reader(t.Context(), 0, -1)
	if err == nil {
		_, err = io.ReadAll(late)
		late.Close()
	}
	wantKind(t, err, pipeline.ErrChanged, "x")
	// A stream under way ends in that error, or has the bytes it began with.
	got, err := io.ReadAll(r)
	if err != nil {
		wantKind(t, err, pipeline.ErrChanged, "x")
	}
	if !bytes.HasPrefix(big, got) || err == nil && len(got) != len(big) {
		t.Errorf("the stream delivers %d bytes of something else", len(got))
	}

	ok(t, s.Delete(t.Context(), "x"))
	_, err = src.ReadAt(t.Context(), make([]byte, 10), 0)
	wantKind(t, err, pipeline.ErrNotFound, "x")
}

func storeDelete(t *testing.T, s pipeline.Store) {
	for _, k := range []string{"a/b/c/d", "a/b/e", "a-b"} {
		ok(t, s.Put(t.Context(), k, []byte(k)))
	}
	ok(t, s.Delete(t.Context(), "a/b/c/d"))
	ok(t, s.Delete(t.Context(), "a/b/c/d"))
	wantKeys(t, s, "", "a-b", "a/b/e")
	// Not an object, though other keys begin with it.
	ok(t, s.Delete(t.Context(), "a/b"))
	ok(t, s.Delete(t.Context(), "a/b/e/f"))
	wantKeys(t, s, "", "a-b", "a/b/e")
	// What was the directory of objects can become an object.
	ok(t, s.Delete(t.Context(), "a/b/e"))
	ok(t, s.Put(t.Context(), "a", nil))
	wantKeys(t, s, "", "a", "a-b")
}

func storeConcurrentWriters(t *testing.T, s pipeline.Store) {
	ok(t, s.Put(t.Context(), "shared/dir/stays", nil))
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 20 {
				key := fmt.Sprintf("shared/dir/%d-%d", i, n)
				if err := s.Put(t.Context(), key, []byte(key)); err != nil {
					t.Error(err)
				}
				if n%10 != 9 {
					if err := s.Delete(t.Context(), key); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	if got := keys(t, s, ""); len(got) != 17 {
		t.Errorf("%d objects are left, want 17: %q", len(got), got)
	}
}

func storeCancelled(t *testing.T, s pipeline.Store) {
	ok(t, s.Put(t.Context(), "x", noise(100)))
	src := source(t, s, "x")
	ctx, cancel := context.WithCancel(t.Context())
	r, err := src.Reader(ctx, 0, -1)
	ok(t, err)
	cancel()
	_, readErr := io.ReadAll(r)
	_, atErr := src.ReadAt(ctx, make([]byte, 10), 0)
	listErr := s.List(ctx, "", func(pipeline.Object) error { return nil })
	for name, err := range map[string]error{"read at": atErr, "list": listErr} {
		if !errors.Is(err, context.Canceled) || pipeline.IsTransient(err) {
			t.Errorf("%s after cancel: %v", name, err)
		}
	}
	if readErr != nil && !errors.Is(readErr, context.Canceled) { // it may have been faster
		t.Errorf("read after cancel: %v", readErr)
	}
	ok(t, r.Close())
}
