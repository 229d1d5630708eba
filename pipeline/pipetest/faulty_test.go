package pipetest_test

import (
	"crypto/rand"
	"errors"
	"io"
	"testing"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/pipetest"
	"github.com/drivemill/drivemill/pipeline/store"
)

func TestFaulty(t *testing.T) {
	ctx := t.Context()
	bad := errors.New("bad luck")
	mem, err := store.Open(ctx, "mem://"+rand.Text())
	if err != nil {
		t.Fatal(err)
	}
	struck := 0
	s := pipetest.Faulty(mem,
		pipetest.Rule{Op: pipetest.OpPut, Key: "a/*", Nth: 2, Err: pipeline.Transient(bad)},
		pipetest.Rule{Op: pipetest.OpPutIfAbsent, Key: "**/record", Nth: 1, Err: bad, After: true},
		pipetest.Rule{Op: pipetest.OpReader, Key: "a/x", Nth: 1, Err: bad, Cut: 3},
		pipetest.Rule{Op: pipetest.OpReadAt, Err: bad, Cut: 2},
		pipetest.Rule{Op: pipetest.OpPublish, Do: func() { struck++ }},
	)
	want := func(name string, err error, fails bool) {
		t.Helper()
		if errors.Is(err, bad) != fails {
			t.Errorf("%s: %v", name, err)
		}
	}
	want("first put", s.Put(ctx, "a/x", []byte("hello")), false)
	want("put of another key", s.Put(ctx, "a/x/y", nil), false)
	err = s.Put(ctx, "a/x", nil)
	want("second put", err, true)
	if !pipeline.IsTransient(err) {
		t.Errorf("not transient: %v", err)
	}
	want("third put", s.Put(ctx, "a/x", []byte("hello")), false)

	want("lost answer", s.PutIfAbsent(ctx, "b/c/record", []byte("it")), true)
	if err := s.PutIfAbsent(ctx, "b/c/record", nil); !errors.Is(err, pipeline.ErrExists) {
		t.Errorf("the operation did not happen: %v", err)
	}

	obj, err := s.Stat(ctx, "a/x")
	if err != nil {
		t.Fatal(err)
	}
	src, err := s.Open(ctx, obj)
	if err != nil {
		t.Fatal(err)
	}
	for i, text := range []string{"hel", "hello"} {
		r, err := src.Reader(ctx, 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		want("stream", err, i == 0)
		if string(got) != text {
			t.Errorf("stream of %q, want %q", got, text)
		}
		r.Close()
	}
	p := make([]byte, 5)
	n, err := src.ReadAt(ctx, p, 0)
	if want("read at", err, true); n != 2 {
		t.Errorf("read %d bytes, want 2", n)
	}

	w, err := s.Create(ctx, "z")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Finish(ctx), w.Publish(ctx)); err != nil || struck != 1 {
		t.Errorf("publish: %v, failpoint called %d times", err, struck)
	}
}

// A store without rules behaves as the one it wraps.
func TestFaultySuite(t *testing.T) {
	pipetest.Store(t, func(t *testing.T) pipeline.Store {
		s, err := store.Open(t.Context(), "mem://"+rand.Text())
		if err != nil {
			t.Fatal(err)
		}
		return pipetest.Faulty(s)
	})
}
