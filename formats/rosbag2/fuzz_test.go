package rosbag2

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/drivemill/drivemill/formats/message/cdr"
	"github.com/drivemill/drivemill/formats/rosbag2/bagtest"
	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// inMemory is a source of bytes.
type inMemory struct {
	name string
	data []byte
}

func (s inMemory) Object() pipeline.Object {
	return pipeline.Object{URI: s.name, Key: s.name, Size: int64(len(s.data))}
}

func (s inMemory) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	if off > int64(len(s.data)) {
		return 0, io.EOF
	}
	n := copy(p, s.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (s inMemory) Reader(_ context.Context, off, n int64) (io.ReadCloser, error) {
	if n < 0 || n > int64(len(s.data))-off {
		n = int64(len(s.data)) - off
	}
	return io.NopCloser(io.NewSectionReader(readerAt(s.data), off, n)), nil
}

type readerAt []byte

func (r readerAt) ReadAt(p []byte, off int64) (int, error) {
	return inMemory{data: r}.ReadAt(context.Background(), p, off)
}

// FuzzDatabase reads any bytes as a database: in storage order, and in log
// order, which must find the same rows.
func FuzzDatabase(f *testing.F) {
	small := talk(0, 8)
	small.PageSize, small.Layout, small.NoIndex = 1024, 2, true
	f.Add(small.Bytes())
	long := talk(0, 30)
	long.PageSize, long.Layout, long.Fanout, long.Encoding, long.NoIndex = 1024, 2, 2, 2, true
	long.Messages[3].Data = text(string(make([]byte, 3000)))
	f.Add(long.Bytes())
	f.Add((&bagtest.DB{Layout: 1, PageSize: 1024}).Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		src := inMemory{"x_0.db3", data}
		format := New(cdr.Encoding{})
		format.block = 1500
		d, err := format.Describe(t.Context(), src)
		if err != nil {
			var e *pipeline.DecodeError
			if !errors.As(err, &e) {
				t.Fatal(err)
			}
			return
		}
		var decoded [2]int64
		for i, order := range []pipeline.Order{pipeline.StorageOrder, pipeline.LogOrder} {
			mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
			dec, err := format.Open(t.Context(), src, d, pipeline.Selection{Order: order}, pipeline.DecodeOptions{
				Allocator: mem, Workers: 2, Reject: func(pipeline.BadRow) error { return nil },
			})
			if err != nil {
				t.Fatal(err)
			}
			for {
				el, err := dec.Next(t.Context())
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				if el.Batch != nil {
					decoded[i] += int64(el.Batch.Rows())
					el.Batch.Release()
				}
			}
			for _, c := range dec.Counts() {
				sum := c.Decoded + c.Unselected
				for _, n := range c.Rejected {
					sum += n
				}
				if c.Found != sum {
					t.Errorf("%+v", c)
				}
			}
			if err := dec.Close(); err != nil {
				t.Error(err)
			}
			mem.AssertSize(t, 0)
		}
		if decoded[0] != decoded[1] {
			t.Errorf("%d rows in storage order, %d in log order", decoded[0], decoded[1])
		}
	})
}

// FuzzMetadata reads any text as metadata.yaml.
func FuzzMetadata(f *testing.F) {
	f.Add(meta(9, split(), "  custom_data: {a: b}\n"))
	f.Add([]byte("rosbag2_bagfile_information: {version: 4, relative_file_paths: [a/b.db3]}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := parseMetadata(data)
		if err != nil {
			return
		}
		_ = m.check()
		m.lists("x")
		m.count("x")
		for i := range m.Topics {
			qosJSON(&m.Topics[i].Metadata.QoS)
		}
	})
}

// Every truncation of a small database is read without failure, and gives the
// first of its rows.
func TestEveryCut(t *testing.T) {
	d := talk(0, 60)
	d.PageSize, d.Layout, d.NoIndex, d.Fanout = 1024, 2, true, 100
	data := rootFirstOf(d.Bytes(), 1024)
	opened := 0
	for n := range data {
		src := inMemory{"x_0.db3", data[:n]}
		f := New(cdr.Encoding{})
		desc, err := f.Describe(t.Context(), src)
		if err != nil {
			if !damaged(err) {
				t.Fatalf("cut at %d: %v", n, err)
			}
			continue
		}
		opened++
		if r := decode(t, f, src, desc, pipeline.Selection{}, pipeline.DecodeOptions{}); r.has("truncated") == nil || len(r.rows) >= 60 {
			t.Fatalf("cut at %d of %d: %d rows, problems %+v", n, len(data), len(r.rows), r.problems)
		}
	}
	if opened < 2000 {
		t.Errorf("only %d of %d cut files were opened", opened, len(data))
	}
}
