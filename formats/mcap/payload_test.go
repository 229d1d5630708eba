package mcap_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/drivemill/drivemill/formats/mcap"
	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// References lead back to the exact bytes: in chunks of every codec, and in a
// file without chunks; with an index and without.
func TestReferences(t *testing.T) {
	want := bytes.Repeat([]byte("drive and mill. "), 5000)
	for _, codec := range []string{"none", "", "lz4", "zstd"} {
		t.Run("codec "+codec, func(t *testing.T) {
			b := newBuilder("ros2")
			if codec == "none" {
				b.channel(0, 0, "/large", "json")
				b.message(0, 1, []byte("small"))
				b.message(0, 2, want)
			} else {
				c := b.chunk()
				c.channel(0, 0, "/large", "json")
				c.message(0, 1, []byte("small"))
				c.message(0, 2, want)
				c.write(codec)
			}
			for _, data := range bothWays(b) {
				for _, whole := range []bool{false, true} {
					follow(t, data, want, whole)
				}
			}
		})
	}
}

func follow(t *testing.T, data, want []byte, whole bool) {
	t.Helper()
	ctx := t.Context()
	mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	src, f := &memory{data: data}, mcap.New()
	d, err := f.Describe(ctx, src)
	if err != nil {
		t.Fatal(err)
	}
	sel := pipeline.Selection{Tables: []pipeline.TableSelection{{Table: d.Tables[0].Table,
		Payloads: []pipeline.PayloadSelection{{Column: "data", Policy: pipeline.ReferPayloads, Above: 64 << 10, Bytes: whole}}}}}
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
		payload := col("data").(*arrow.Binary)
		for i := range el.Batch.Rows() {
			uri := col("data.uri").(*arrow.String)
			if uri.IsNull(i) {
				if got := payload.Value(i); string(got) != "small" || col("data.size").(*arrow.Int64).Value(i) != 5 {
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
			if payload.IsNull(i) == whole || whole && !bytes.Equal(payload.Value(i), want) {
				t.Errorf("bytes asked for: %v, and there: %v", whole, !payload.IsNull(i))
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
