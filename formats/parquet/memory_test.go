package parquet

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// memStore is a store in memory that knows what is visible and what is not.
type memStore struct {
	pipeline.Store
	mu      sync.Mutex
	visible map[string][]byte
	open    map[*memObject]bool
	failing string // keys that cannot be written
}

func newMemStore() *memStore {
	return &memStore{visible: make(map[string][]byte), open: make(map[*memObject]bool)}
}

func (s *memStore) Root() string { return "mem://lake" }

func (s *memStore) Create(_ context.Context, key string) (pipeline.ObjectWriter, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := &memObject{store: s, key: key}
	s.open[o] = true
	return o, nil
}

func (s *memStore) keys() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var keys []string
	for k := range s.visible {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

type memObject struct {
	store *memStore
	key   string
	buf   bytes.Buffer
}

var errDisk = errors.New("disk is full")

func (o *memObject) Write(b []byte) (int, error) {
	if o.store.failing != "" && strings.Contains(o.key, o.store.failing) {
		return 0, errDisk
	}
	return o.buf.Write(b)
}
func (o *memObject) Finish(context.Context) error { return nil }
func (o *memObject) Publish(context.Context) error {
	o.store.mu.Lock()
	defer o.store.mu.Unlock()
	delete(o.store.open, o)
	o.store.visible[o.key] = o.buf.Bytes()
	return nil
}
func (o *memObject) Abort(context.Context) error {
	o.store.mu.Lock()
	defer o.store.mu.Unlock()
	delete(o.store.open, o)
	return nil
}

type testEnv struct {
	pipeline.Env
	store pipeline.Store
}

func (e testEnv) OpenStore(context.Context, string) (pipeline.Store, error) { return e.store, nil }

func testConfig() *SinkConfig {
	return &SinkConfig{
		URI: pipeline.Text{Value: "mem://lake", Path: "outputs.lake.uri"}, Partition: []pipeline.Text{{Value: "drive_date"}},
		Types: "lake", Names: "lake", Compression: "zstd",
		RowGroupRows: DefaultRowGroupRows, RowGroupBytes: DefaultRowGroupBytes, FileBytes: 256 << 20,
	}
}

// unit writes batches through a sink.
type unit struct {
	store   *memStore
	binding *pipeline.SinkBinding
	writer  pipeline.SinkWriter
	acct    pipeline.Account
	bad     []pipeline.BadRow
	files   []pipeline.File
}

func openUnit(t testing.TB, cfg *SinkConfig, mem arrow.Allocator, workers int, fail func(string) error, tables ...*pipeline.Table) *unit {
	t.Helper()
	return openUnitWith(t, cfg, pipeline.SinkOptions{Allocator: mem, Workers: workers, Failpoint: fail}, tables...)
}

func openUnitWith(t testing.TB, cfg *SinkConfig, opt pipeline.SinkOptions, tables ...*pipeline.Table) *unit {
	t.Helper()
	u := &unit{store: newMemStore()}
	s, err := Spec().New(t.Context(), cfg, testEnv{store: u.store})
	if err != nil {
		t.Fatal(err)
	}
	u.binding, err = s.Bind(tables)
	if err != nil {
		t.Fatal(err)
	}
	rev := make(map[string]string)
	for _, st := range u.binding.Tables {
		rev[st.Name] = "r1"
	}
	opt.Slot, opt.Revision, opt.DriveDate = "slot", rev, "2026-03-02"
	opt.Reject = func(b pipeline.BadRow) error { u.bad = append(u.bad, b); return nil }
	u.writer, err = u.binding.Open(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// write cuts the record into batches of size rows.
func (u *unit) write(t testing.TB, table *pipeline.Table, rec arrow.Record, size int) {
	t.Helper()
	for from := 0; from < int(rec.NumRows()); from += size {
		to := min(from+size, int(rec.NumRows()))
		b := &pipeline.Batch{Table: table, Record: rec.NewSlice(int64(from), int64(to)), Origin: pipeline.Origin{First: int64(from)}}
		if err := u.writer.Write(t.Context(), b, &u.acct); err != nil {
			t.Fatal(err)
		}
	}
}

func (u *unit) finish(t testing.TB) {
	t.Helper()
	var err error
	if u.files, err = u.writer.Finish(t.Context(), &u.acct); err != nil {
		t.Fatal(err)
	}
	if keys := u.store.keys(); len(keys) != 0 {
		t.Fatalf("visible before Publish: %v", keys)
	}
	if err := u.writer.Publish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(u.store.open) != 0 {
		t.Fatalf("%d objects left open", len(u.store.open))
	}
}
