package pipetest

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync/atomic"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/store"
)

// Op is an operation of a store, its sources and its writers.
type Op string

// The operations that a Rule can strike.
const (
	OpList        Op = "list" // its key is the prefix
	OpStat        Op = "stat"
	OpOpen        Op = "open"
	OpReadAt      Op = "read_at"
	OpReader      Op = "reader"
	OpCreate      Op = "create"
	OpWrite       Op = "write"
	OpFinish      Op = "finish"
	OpPublish     Op = "publish"
	OpAbort       Op = "abort"
	OpPutIfAbsent Op = "put_if_absent"
	OpPut         Op = "put"
	OpGet         Op = "get"
	OpDelete      Op = "delete"
)

// Rule makes a store fail. It counts the calls of Op on keys that match Key,
// and strikes the Nth, or each where Nth is 0.
type Rule struct {
	Op  Op     // empty: any
	Key string // * within a segment, ** over segments; empty: any
	Nth int    // from 1
	// Do is called first: a failpoint.
	Do func()
	// Err is returned instead of doing the operation; nil lets it happen.
	Err error
	// After lets the operation happen before Err is returned: the answer is lost.
	After bool
	// Cut, if positive, makes Reader and ReadAt deliver that many bytes
	// before Err.
	Cut int64
}

// Faulty wraps a store so that the first rule that strikes a call decides what
// becomes of it.
func Faulty(s pipeline.Store, rules ...Rule) pipeline.Store {
	f := &faulty{Store: s}
	for _, r := range rules {
		glob := strings.NewReplacer(`\*\*`, ".*", `\*`, "[^/]*").Replace(regexp.QuoteMeta(r.Key))
		if r.Key == "" {
			glob = ".*"
		}
		f.rules = append(f.rules, &armed{Rule: r, key: regexp.MustCompile("(?s)^" + glob + "$")})
	}
	return f
}

type armed struct {
	Rule
	key   *regexp.Regexp
	calls atomic.Int64
}

type faulty struct {
	pipeline.Store
	rules []*armed
}

// strike finds the rule for a call. All rules count it.
func (f *faulty) strike(op Op, key string) *Rule {
	var hit *Rule
	for _, r := range f.rules {
		if r.Op != "" && r.Op != op || !r.key.MatchString(key) {
			continue
		}
		if n := r.calls.Add(1); hit == nil && (r.Nth == 0 || int64(r.Nth) == n) {
			hit = &r.Rule
		}
	}
	if hit == nil {
		return &Rule{}
	}
	if hit.Do != nil {
		hit.Do()
	}
	return hit
}

// call does an operation as the rules will have it.
func (f *faulty) call(op Op, key string, do func() error) error {
	r := f.strike(op, key)
	if r.Err == nil {
		return do()
	}
	if r.After {
		if err := do(); err != nil {
			return err
		}
	}
	return fmt.Errorf("%s %s: %w", op, key, r.Err)
}

func (f *faulty) List(ctx context.Context, prefix string, fn func(pipeline.Object) error) error {
	return f.call(OpList, prefix, func() error { return f.Store.List(ctx, prefix, fn) })
}

func (f *faulty) Stat(ctx context.Context, key string) (obj pipeline.Object, err error) {
	err = f.call(OpStat, key, func() error {
		obj, err = f.Store.Stat(ctx, key)
		return err
	})
	return obj, err
}

func (f *faulty) Open(ctx context.Context, obj pipeline.Object) (src pipeline.Source, err error) {
	err = f.call(OpOpen, obj.Key, func() error {
		src, err = f.Store.Open(ctx, obj)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &faultySource{src, f}, nil
}

func (f *faulty) Create(ctx context.Context, key string) (w pipeline.ObjectWriter, err error) {
	err = f.call(OpCreate, key, func() error {
		w, err = f.Store.Create(ctx, key)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &faultyWriter{w, f, key}, nil
}

func (f *faulty) PutIfAbsent(ctx context.Context, key string, data []byte) error {
	return f.call(OpPutIfAbsent, key, func() error { return f.Store.PutIfAbsent(ctx, key, data) })
}

func (f *faulty) Put(ctx context.Context, key string, data []byte) error {
	return f.call(OpPut, key, func() error { return f.Store.Put(ctx, key, data) })
}

func (f *faulty) Get(ctx context.Context, key string) (data []byte, err error) {
	err = f.call(OpGet, key, func() error {
		data, err = f.Store.Get(ctx, key)
		return err
	})
	return data, err
}

func (f *faulty) Delete(ctx context.Context, key string) error {
	return f.call(OpDelete, key, func() error { return f.Store.Delete(ctx, key) })
}

// Uploads and AbortUpload are those of the store below: see store.UploadKeeper.
func (f *faulty) Uploads(ctx context.Context, fn func(store.Upload) error) error {
	return store.Uploads(ctx, f.Store, fn)
}

func (f *faulty) AbortUpload(ctx context.Context, u store.Upload) error {
	return store.AbortUpload(ctx, f.Store, u)
}

type faultySource struct {
	pipeline.Source
	f *faulty
}

func (s *faultySource) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	r := s.f.strike(OpReadAt, s.Object().Key)
	if r.Err == nil {
		return s.Source.ReadAt(ctx, p, off)
	}
	n, err := s.Source.ReadAt(ctx, p[:min(r.Cut, int64(len(p)))], off)
	if err != nil {
		return n, err
	}
	return n, fmt.Errorf("%s %s: %w", OpReadAt, s.Object().Key, r.Err)
}

func (s *faultySource) Reader(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	r := s.f.strike(OpReader, s.Object().Key)
	if r.Err != nil && r.Cut == 0 {
		return nil, fmt.Errorf("%s %s: %w", OpReader, s.Object().Key, r.Err)
	}
	rc, err := s.Source.Reader(ctx, off, n)
	if err != nil || r.Err == nil {
		return rc, err
	}
	return &cutReader{rc, r.Cut, fmt.Errorf("%s %s: %w", OpReader, s.Object().Key, r.Err)}, nil
}

// cutReader fails with err after left bytes.
type cutReader struct {
	io.ReadCloser
	left int64
	err  error
}

func (c *cutReader) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, c.err
	}
	n, err := c.ReadCloser.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	return n, err
}

type faultyWriter struct {
	pipeline.ObjectWriter
	f   *faulty
	key string
}

func (w *faultyWriter) Write(p []byte) (n int, err error) {
	err = w.f.call(OpWrite, w.key, func() error {
		n, err = w.ObjectWriter.Write(p)
		return err
	})
	return n, err
}

func (w *faultyWriter) Finish(ctx context.Context) error {
	return w.f.call(OpFinish, w.key, func() error { return w.ObjectWriter.Finish(ctx) })
}

func (w *faultyWriter) Publish(ctx context.Context) error {
	return w.f.call(OpPublish, w.key, func() error { return w.ObjectWriter.Publish(ctx) })
}

func (w *faultyWriter) Abort(ctx context.Context) error {
	return w.f.call(OpAbort, w.key, func() error { return w.ObjectWriter.Abort(ctx) })
}
