package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"sort"
	"strings"
	"sync"

	"github.com/drivemill/drivemill/pipeline"
)

// memory is a view, below a prefix, of a named set of objects. It is meant for
// tests: it holds every object whole, and unfinished ones end with the process.
type memory struct {
	root   string
	prefix string // empty or ends in a slash
	space  *space
}

// space is one named set of objects. Contents are never changed in place.
type space struct {
	mu      sync.RWMutex
	objects map[string]content
}

type content struct {
	data []byte
	tag  string
}

// spaces are the memory stores of the process: a name means the same store in
// all its parts, as a bucket does.
var spaces struct {
	mu     sync.Mutex
	byName map[string]*space
}

func openMemory(name, prefix string) *memory {
	spaces.mu.Lock()
	defer spaces.mu.Unlock()
	s := spaces.byName[name]
	if s == nil {
		s = &space{objects: make(map[string]content)}
		if spaces.byName == nil {
			spaces.byName = make(map[string]*space)
		}
		spaces.byName[name] = s
	}
	m := &memory{root: "mem://" + name, space: s}
	if prefix != "" {
		m.root += "/" + prefix
		m.prefix = prefix + "/"
	}
	return m
}

func (m *memory) Root() string { return m.root }

func (m *memory) uri(key string) string { return m.root + "/" + key }

func (m *memory) object(key string, c content) pipeline.Object {
	return pipeline.Object{URI: m.uri(key), Key: key, Size: int64(len(c.data)), ETag: c.tag}
}

func (m *memory) List(ctx context.Context, prefix string, fn func(pipeline.Object) error) error {
	m.space.mu.RLock()
	var found []pipeline.Object
	for k, c := range m.space.objects {
		if strings.HasPrefix(k, m.prefix+prefix) {
			found = append(found, m.object(k[len(m.prefix):], c))
		}
	}
	m.space.mu.RUnlock()
	sort.Slice(found, func(i, j int) bool { return found[i].Key < found[j].Key })
	for _, obj := range found {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := fn(obj); err != nil {
			return err
		}
	}
	return nil
}

func (m *memory) load(key string) (content, error) {
	if err := checkKey(key); err != nil {
		return content{}, fmt.Errorf("looking up in %s: %w", m.root, err)
	}
	m.space.mu.RLock()
	defer m.space.mu.RUnlock()
	c, ok := m.space.objects[m.prefix+key]
	if !ok {
		return content{}, fmt.Errorf("looking up %s: %w", m.uri(key), pipeline.ErrNotFound)
	}
	return c, nil
}

func (m *memory) Stat(_ context.Context, key string) (pipeline.Object, error) {
	c, err := m.load(key)
	if err != nil {
		return pipeline.Object{}, err
	}
	return m.object(key, c), nil
}

func (m *memory) Open(_ context.Context, obj pipeline.Object) (pipeline.Source, error) {
	if err := checkKey(obj.Key); err != nil {
		return nil, fmt.Errorf("opening in %s: %w", m.root, err)
	}
	return &memorySource{m, obj}, nil
}

func (m *memory) Create(_ context.Context, key string) (pipeline.ObjectWriter, error) {
	if err := checkNewKey(key); err != nil {
		return nil, fmt.Errorf("creating in %s: %w", m.root, err)
	}
	return &memoryWriter{store: m, key: key}, nil
}

// set stores data, which nobody may change afterwards.
func (m *memory) set(key string, data []byte, onlyNew bool) error {
	if err := checkNewKey(key); err != nil {
		return fmt.Errorf("writing in %s: %w", m.root, err)
	}
	sum := sha256.Sum256(data)
	m.space.mu.Lock()
	defer m.space.mu.Unlock()
	if _, there := m.space.objects[m.prefix+key]; there && onlyNew {
		return fmt.Errorf("creating %s: %w", m.uri(key), pipeline.ErrExists)
	}
	m.space.objects[m.prefix+key] = content{data, hex.EncodeToString(sum[:16])}
	return nil
}

func (m *memory) PutIfAbsent(_ context.Context, key string, data []byte) error {
	return m.set(key, bytes.Clone(data), true)
}

func (m *memory) Put(_ context.Context, key string, data []byte) error {
	return m.set(key, bytes.Clone(data), false)
}

func (m *memory) Get(_ context.Context, key string) ([]byte, error) {
	c, err := m.load(key)
	if err != nil {
		return nil, err
	}
	if err := checkSmall(m.uri(key), int64(len(c.data))); err != nil {
		return nil, err
	}
	return bytes.Clone(c.data), nil
}

func (m *memory) Delete(_ context.Context, key string) error {
	if err := checkKey(key); err != nil {
		return fmt.Errorf("deleting in %s: %w", m.root, err)
	}
	m.space.mu.Lock()
	defer m.space.mu.Unlock()
	delete(m.space.objects, m.prefix+key)
	return nil
}

type memorySource struct {
	store *memory
	obj   pipeline.Object
}

func (s *memorySource) Object() pipeline.Object { return s.obj }

// bytes returns n bytes from off, fewer only at the end of the object.
func (s *memorySource) bytes(off, n int64) ([]byte, error) {
	n, err := span(s.obj, off, n)
	if err != nil {
		return nil, err
	}
	c, err := s.store.load(s.obj.Key)
	switch {
	case err != nil:
		return nil, err
	case s.obj.ETag != "" && c.tag != s.obj.ETag:
		return nil, fmt.Errorf("reading %s: %w", s.obj.URI, pipeline.ErrChanged)
	case n == 0:
		return nil, nil
	case off+n > int64(len(c.data)):
		return nil, fmt.Errorf("reading %s: %w at %d, expected %d bytes", s.obj.URI, pipeline.ErrTruncated, len(c.data), s.obj.Size)
	}
	return c.data[off : off+n], nil
}

func (s *memorySource) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	data, err := s.bytes(off, int64(len(p)))
	if err != nil {
		return 0, err
	}
	if n := copy(p, data); n < len(p) {
		return n, io.EOF
	}
	return len(p), nil
}

func (s *memorySource) Reader(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	n, err := span(s.obj, off, n)
	if err != nil {
		return nil, err
	}
	if _, err := s.bytes(off, 0); err != nil {
		return nil, err
	}
	return &memoryReader{src: s, off: off, end: off + n, done: ctx.Err}, nil
}

type memoryReader struct {
	src      *memorySource
	off, end int64
	done     func() error // the error of the context the reader was made with
	closed   bool
}

func (r *memoryReader) Read(p []byte) (int, error) {
	if r.closed {
		return 0, errReaderClosed
	}
	if err := r.done(); err != nil {
		return 0, err
	}
	if r.off >= r.end {
		return 0, io.EOF
	}
	data, err := r.src.bytes(r.off, min(int64(len(p)), r.end-r.off))
	if err != nil {
		return 0, err
	}
	r.off += int64(len(data))
	return copy(p, data), nil
}

func (r *memoryReader) Close() error {
	r.closed = true
	return nil
}

type memoryWriter struct {
	store *memory
	key   string
	buf   []byte
	state writerState
}

func (w *memoryWriter) Write(p []byte) (int, error) {
	if w.state != writing {
		return 0, misuse(w.store.uri(w.key), "write", w.state)
	}
	w.buf = append(w.buf, p...)
	return len(p), nil
}

func (w *memoryWriter) Finish(context.Context) error {
	if w.state != writing {
		return misuse(w.store.uri(w.key), "finish", w.state)
	}
	w.state = finished
	return nil
}

func (w *memoryWriter) Publish(context.Context) error {
	if w.state != finished {
		return misuse(w.store.uri(w.key), "publish", w.state)
	}
	if err := w.store.set(w.key, w.buf, false); err != nil {
		return err
	}
	w.state = published
	return nil
}

func (w *memoryWriter) Abort(context.Context) error {
	if w.state != published {
		w.state, w.buf = aborted, nil
	}
	return nil
}
