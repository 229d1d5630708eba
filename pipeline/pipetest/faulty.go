package pipetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

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
	// P, if positive, is how likely a call is struck, in place of Nth; calls are
	// drawn from a generator with that Seed.
	P    float64
	Seed uint64
	// Do is called first: a failpoint.
	Do func()
	// Err is returned instead of doing the operation; nil lets it happen.
	Err error
	// After lets the operation happen before Err is returned: the answer is lost.
	After bool
	// Cut, if positive, makes Reader and ReadAt deliver that many bytes
	// before Err, and List that many objects.
	Cut int64
	// Short makes a Reader deliver at most that many bytes at a time.
	Short int
	// Slow is how long each call, and each Read of a Reader, takes longer.
	Slow time.Duration
	// Repeat makes List tell of every object twice.
	Repeat bool
}

// What stores answer: classes of error for Rule.Err.
var (
	ErrFaultSlowDown   = pipeline.Transient(errors.New("SlowDown: Please reduce your request rate. (HTTP 503)"))
	ErrFaultServer     = pipeline.Transient(errors.New("InternalError (HTTP 500)"))
	ErrFaultTimeout    = pipeline.Transient(errors.New("no answer in time"))
	ErrFaultReset      = pipeline.Transient(errors.New("the connection broke off"))
	ErrFaultConflict   = pipeline.Transient(errors.New("ConditionalRequestConflict (HTTP 409)"))
	ErrFaultDenied     = fmt.Errorf("%w: AccessDenied (HTTP 403)", pipeline.ErrDenied)
	ErrFaultMissing    = fmt.Errorf("%w: NoSuchKey (HTTP 404)", pipeline.ErrNotFound)
	ErrFaultBadRequest = errors.New("InvalidArgument (HTTP 400)")
	ErrFaultStale      = fmt.Errorf("%w: PreconditionFailed (HTTP 412)", pipeline.ErrChanged)
	ErrFaultExists     = fmt.Errorf("%w: PreconditionFailed (HTTP 412)", pipeline.ErrExists)
)

// RetryableRules are all kinds of trouble that pass, which together strike a
// share p of calls, drawn by seed.
func RetryableRules(p float64, seed uint64) []Rule {
	rules := []Rule{
		{Err: ErrFaultSlowDown}, {Err: ErrFaultServer}, {Err: ErrFaultTimeout}, {Err: ErrFaultReset},
		{Op: OpPut, Err: ErrFaultReset, After: true},
		{Op: OpDelete, Err: ErrFaultReset, After: true},
		{Op: OpPublish, Err: ErrFaultReset, After: true},
		{Op: OpPutIfAbsent, Err: ErrFaultConflict},
		{Op: OpReader, Err: ErrFaultReset, Cut: 1000},
		{Op: OpReader, Short: 7},
		{Op: OpReadAt, Err: ErrFaultReset, Cut: 10},
		{Op: OpList, Err: ErrFaultServer, Cut: 1},
		{Op: OpGet, Slow: time.Millisecond},
	}
	for i := range rules {
		rules[i].P, rules[i].Seed = p/float64(len(rules)), seed+uint64(i)
	}
	return rules
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
		f.rules = append(f.rules, &armed{Rule: r, draw: rand.New(rand.NewPCG(r.Seed, 0)), key: regexp.MustCompile("(?s)^" + glob + "$")})
	}
	return f
}

type armed struct {
	Rule
	key   *regexp.Regexp
	calls atomic.Int64
	mu    sync.Mutex
	draw  *rand.Rand
}

// drawn decides about the n-th call.
func (r *armed) drawn(n int64) bool {
	if r.P <= 0 {
		return r.Nth == 0 || int64(r.Nth) == n
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.draw.Float64() < r.P
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
		if r.drawn(r.calls.Add(1)) && hit == nil {
			hit = &r.Rule
		}
	}
	if hit == nil {
		return &Rule{}
	}
	if hit.Do != nil {
		hit.Do()
	}
	time.Sleep(hit.Slow)
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
	r := f.strike(OpList, prefix)
	var failed error
	if r.Err != nil {
		failed = fmt.Errorf("%s %s: %w", OpList, prefix, r.Err)
	}
	if failed != nil && r.Cut == 0 {
		return failed
	}
	left := r.Cut
	err := f.Store.List(ctx, prefix, func(o pipeline.Object) error {
		if r.Err != nil && left == 0 {
			return failed
		}
		left--
		if err := fn(o); err != nil || !r.Repeat {
			return err
		}
		return fn(o)
	})
	if err == nil && r.Err != nil {
		return failed
	}
	return err
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
	if err == nil && (r.Short > 0 || r.Slow > 0) {
		rc = &lameReader{rc, r.Short, r.Slow}
	}
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

// lameReader delivers little at a time, and takes its time.
type lameReader struct {
	io.ReadCloser
	short int
	slow  time.Duration
}

func (l *lameReader) Read(p []byte) (int, error) {
	time.Sleep(l.slow)
	if l.short > 0 {
		p = p[:min(len(p), l.short)]
	}
	return l.ReadCloser.Read(p)
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
