package parquet

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"sync"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// lakeFile is one file of the lake while it is written. It is the io.Writer
// of its own encoder: it creates the object with the first bytes, and counts
// and hashes all of them.
type lakeFile struct {
	key    string
	object pipeline.ObjectWriter // nil until there are bytes
	result pipeline.File

	start  func() *file // called once, by the first to encode
	create func() (pipeline.ObjectWriter, error)
	size   int64
	sum    hash.Hash
	ending bool   // the footer is being written
	footer []byte // all that was written since
}

// newFile names the next file of p. Nothing is created yet.
func (w *sinkWriter) newFile(ctx context.Context, p *partition) *lakeFile {
	key := fmt.Sprintf("%s/%s%s-%s-%05d.parquet", p.table.name, p.dir, w.opt.Slot, w.opt.Revision[p.table.name], p.files)
	p.files++
	f := &lakeFile{key: key, sum: sha256.New()}
	f.result = pipeline.File{Key: key, Table: p.table.name, Partition: p.values}
	f.start = sync.OnceValue(func() *file {
		return newFile(f, p.table.plan, w.sink.codec, p.table.plan.sorting(p.table.sort))
	})
	f.create = func() (pipeline.ObjectWriter, error) {
		if err := w.firstUpload(); err != nil {
			return nil, err
		}
		return w.sink.store.Create(ctx, key)
	}
	w.mu.Lock()
	w.files = append(w.files, f)
	w.mu.Unlock()
	return f
}

// firstUpload passes a failpoint before anything is created.
func (w *sinkWriter) firstUpload() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.uploaded {
		return nil
	}
	w.uploaded = true
	return w.failpoint("upload:before")
}

// encode makes a row group for the file. Many goroutines may call it.
func (f *lakeFile) encode(mem arrow.Allocator, recs records, p *pool) (*rowGroup, error) {
	return f.start().encode(mem, recs, p)
}

// commit appends a row group and returns its size.
func (f *lakeFile) commit(g *rowGroup) (int64, error) {
	out := f.start()
	before := out.out.offset
	if err := out.commit(g); err != nil {
		return 0, err
	}
	return out.out.offset - before, nil
}

// Write receives the bytes of the file.
func (f *lakeFile) Write(b []byte) (int, error) {
	if f.object == nil {
		o, err := f.create()
		if err != nil {
			return 0, err
		}
		f.object = o
	}
	n, err := f.object.Write(b)
	f.size += int64(n)
	f.sum.Write(b[:n])
	if f.ending {
		f.footer = append(f.footer, b[:n]...)
	}
	return n, err
}

// finish writes the footer, uploads all of the file, and reads the number of
// rows back from the footer as it was written.
func (f *lakeFile) finish(ctx context.Context) error {
	f.ending = true
	if err := f.start().close(); err != nil {
		return err
	}
	meta, _, err := parseFooter(f.footer)
	if err != nil {
		return err
	}
	for _, g := range meta.RowGroups {
		f.result.Rows += g.NumRows
	}
	if f.result.Rows != meta.NumRows {
		return fmt.Errorf("the footer counts %d rows, its row groups %d: %w", meta.NumRows, f.result.Rows, pipeline.ErrCorrupt)
	}
	f.result.Bytes = f.size
	f.result.SHA256 = hex.EncodeToString(f.sum.Sum(nil))
	if err := f.object.Finish(ctx); err != nil {
		return fmt.Errorf("uploading: %w", err)
	}
	// The encoder and its pages are no longer needed, the object is.
	f.start, f.create, f.footer = nil, nil, nil
	return nil
}
