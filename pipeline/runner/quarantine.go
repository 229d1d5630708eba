package runner

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	stdhash "hash"
	"sort"
	"strings"
	"sync"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/lineage"
)

// quarantine keeps the rows of a unit that were refused, each as one line of
// JSON with its place, the reason and the bytes as they were stored. There is
// one file for each producer of bad rows, because each reports its own in a
// fixed order.
type quarantine struct {
	store   pipeline.Store
	slot    string
	rev     string
	mu      sync.Mutex
	writers map[string]*quarantineFile
}

type quarantineFile struct {
	pipeline.ObjectWriter
	key   string
	rows  int64
	bytes int64
	sum   stdhash.Hash
}

// quarantineRow is one line of a quarantine file.
type quarantineRow struct {
	Table  string `json:"table"`
	Object string `json:"object"`
	Record int64  `json:"record"`
	Offset *int64 `json:"offset,omitempty"`
	Column string `json:"column,omitempty"`
	Reason string `json:"reason"`
	Error  string `json:"error"`
	Raw    string `json:"raw,omitempty"` // base64
}

func newQuarantine(st pipeline.Store, slot, rev string) *quarantine {
	return &quarantine{store: st, slot: slot, rev: rev, writers: make(map[string]*quarantineFile)}
}

// add writes one row that producer refused.
func (q *quarantine) add(ctx context.Context, producer string, r pipeline.BadRow) error {
	row := quarantineRow{Table: r.Table, Object: r.Object, Record: r.Record, Column: r.Column, Reason: r.Reason, Raw: base64.StdEncoding.EncodeToString(r.Raw)}
	if r.Offset >= 0 && r.Raw != nil {
		off := r.Offset
		row.Offset = &off
	}
	if r.Err != nil {
		row.Error = r.Err.Error()
	}
	line, err := json.Marshal(row)
	if err != nil {
		return fmt.Errorf("quarantine: %w", err)
	}
	line = append(line, '\n')
	q.mu.Lock()
	defer q.mu.Unlock()
	f := q.writers[producer]
	if f == nil {
		name := strings.Map(func(c rune) rune {
			if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' {
				return c
			}
			return '_'
		}, producer)
		key := fmt.Sprintf("%s/%s-%s-%s.ndjson", lineage.QuarantineDir, q.slot, q.rev, name)
		w, err := q.store.Create(ctx, key)
		if err != nil {
			return fmt.Errorf("quarantine: %w", err)
		}
		f = &quarantineFile{ObjectWriter: w, key: key, sum: sha256.New()}
		q.writers[producer] = f
	}
	if _, err := f.Write(line); err != nil {
		return fmt.Errorf("quarantine: %w", err)
	}
	f.sum.Write(line)
	f.rows++
	f.bytes += int64(len(line))
	return nil
}

func (q *quarantine) sorted() []*quarantineFile {
	out := make([]*quarantineFile, 0, len(q.writers))
	for _, f := range q.writers {
		out = append(out, f)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].key < out[j].key })
	return out
}

// finish uploads the files and describes them.
func (q *quarantine) finish(ctx context.Context) ([]pipeline.File, error) {
	var files []pipeline.File
	for _, f := range q.sorted() {
		if err := f.Finish(ctx); err != nil {
			return nil, fmt.Errorf("quarantine: %w", err)
		}
		files = append(files, pipeline.File{Key: f.key, Table: "quarantine", Rows: f.rows, Bytes: f.bytes, SHA256: fmt.Sprintf("%x", f.sum.Sum(nil))})
	}
	return files, nil
}

func (q *quarantine) publish(ctx context.Context) error {
	for _, f := range q.sorted() {
		if err := f.Publish(ctx); err != nil {
			return fmt.Errorf("quarantine: %w", err)
		}
	}
	return nil
}

func (q *quarantine) abort(ctx context.Context) error {
	var first error
	for _, f := range q.sorted() {
		if err := f.Abort(ctx); err != nil && first == nil {
			first = err
		}
	}
	return first
}
