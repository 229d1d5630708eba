package rosbag

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// largePayload compresses to almost nothing.
func largePayload() []byte { return bytes.Repeat([]byte("drive and mill. "), 5000) }

// References lead back to the exact bytes, in chunks of every codec.
func TestReferences(t *testing.T) {
	want := largePayload()
	for _, codec := range []string{"", codecLZ4, codecBZ2} {
		t.Run(codecName([]byte(codec)), func(t *testing.T) {
			write := func() *bag {
				b := &bag{codec: codec}
				if codec == codecBZ2 {
					b.pack = func([]byte) []byte { return unbase64(t, chunkLargeBZ2) }
				}
				b.connect(0, "/large")
				if codec == codecBZ2 {
					b.chunk = nil // as it was when it was compressed
				}
				b.write(0, at(100, 1), "small")
				b.write(0, at(100, 2), string(want))
				return b
			}
			follow(t, write().closed(), want)
			if codec != codecBZ2 { // its connection is in the index only
				follow(t, write().unclosed(), want)
			}
		})
	}
}

func follow(t *testing.T, data, want []byte) {
	t.Helper()
	ctx := context.Background()
	mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	src, f := inMemory(data), New()
	d, err := f.Describe(ctx, src)
	if err != nil {
		t.Fatal(err)
	}
	sel := pipeline.Selection{Tables: []pipeline.TableSelection{{Table: d.Tables[0].Table,
		Payloads: []pipeline.PayloadSelection{{Column: "data", Policy: pipeline.ReferPayloads, Above: 64 << 10}}}}}
	dec, err := f.Open(ctx, src, d, sel, pipeline.DecodeOptions{Allocator: mem})
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	refs := 0
	for {
		el, err := dec.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if el.Batch == nil {
			continue
		}
		rec := el.Batch.Record
		col := func(name string) arrow.Array { return rec.Column(rec.Schema().FieldIndices(name)[0]) }
		for i := range el.Batch.Rows() {
			uri := col("data.uri").(*arrow.String)
			if uri.IsNull(i) {
				if got := col("data").(*arrow.Binary).Value(i); string(got) != "small" {
					t.Errorf("row %d is inline: %d bytes", i, len(got))
				}
				continue
			}
			refs++
			p := pipeline.Payload{URI: uri.Value(i), Offset: col("data.offset").(*arrow.Int64).Value(i), Inner: -1,
				Size: col("data.size").(*arrow.Int64).Value(i), SHA256: col("data.sha256").(*arrow.String).Value(i)}
			if inner := col("data.inner_offset").(*arrow.Int64); !inner.IsNull(i) {
				p.Inner = inner.Value(i)
			}
			if !col("data").IsNull(i) || p.URI != src.Object().URI {
				t.Errorf("the payload is there, or in another object: %+v", p)
			}
			got, err := pipeline.ReadPayload(ctx, f, src, p)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("following %+v: %d bytes, %v", p, len(got), err)
			}
			for _, bad := range []pipeline.Payload{
				{Offset: -1, Inner: p.Inner, Size: p.Size}, {Offset: 1 << 40, Inner: p.Inner, Size: p.Size}, {Offset: p.Offset, Inner: p.Inner, Size: 1 << 29},
				{Offset: p.Offset, Inner: 1 << 40, Size: p.Size}, {Offset: p.Offset + 1, Inner: p.Inner, Size: p.Size, SHA256: p.SHA256},
				{Offset: p.Offset, Inner: p.Inner, Size: p.Size - 1, SHA256: p.SHA256}, {Offset: p.Offset, Inner: p.Inner, Size: -1},
			} {
				if _, err := pipeline.ReadPayload(ctx, f, src, bad); err == nil {
					t.Errorf("%+v was followed", bad)
				}
			}
		}
		el.Batch.Release()
	}
	if c := dec.Counts()[0].Payloads; refs != 1 || c.Referenced != 1 || c.ReferencedBytes != int64(len(want)) {
		t.Errorf("%d references, counted %+v", refs, c)
	}
}

// chunkLargeBZ2 is the chunk of TestReferences, compressed by bzip2 -9.
const chunkLargeBZ2 = "QlpoOTFBWSZTWUNPVsAAHWtZwHYiQQEAQi4n3QBAADAAzAJJRo9AQAAU0aANAAAUqkAAAaHqUGMhi+ZEcjIk4CdkqtMZECuYCASQyqCo5CFRz7xCox6Ztr3sEKjg4tghUaagqNOBCo1pCow/CFRxiFRn9EKjGTeIVHBqEKjDDk0O4hUaLaIVGX8XckU4UJBDT1bA"
