package message

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
)

// payload is a payload column of a selection.
type payload struct {
	pipeline.PayloadSelection
	at     int // its column
	beside int // the first of those beside it
}

// payloadField marks a binary column as one that can be referred to.
func payloadField(f arrow.Field) arrow.Field {
	if f.Type.ID() != arrow.BINARY {
		return f
	}
	keys, values := slices.Clone(f.Metadata.Keys()), slices.Clone(f.Metadata.Values())
	f.Metadata = arrow.NewMetadata(append(keys, pipeline.MetaPayload), append(values, ""))
	return f
}

// watch makes the payload columns of f note the long values of a block.
func (f *fragment) watch(data []byte) {
	for _, p := range f.t.sel.payloads {
		c := f.cols[p.at]
		if c.Long == nil {
			c.Long = &column.Long{Above: int(p.Above), Copy: p.Bytes}
		}
		c.Long.In, c.Long.Values = data, c.Long.Values[:0]
	}
}

// refer fills the columns beside the payloads of the rows from from on.
func (f *fragment) refer(b *Block, object string, from int) (counts pipeline.PayloadCounts) {
	for _, p := range f.t.sel.payloads {
		c := f.cols[p.at]
		counts.Add(p.fill(c, f.cols[p.beside:], b, object, from))
		c.Long.In = nil
	}
	return counts
}

func (p *payload) fill(c *column.Column, beside []*column.Column, b *Block, object string, from int) (counts pipeline.PayloadCounts) {
	long := c.Long.Values
	for row := from; row < c.N; row++ {
		if len(long) > 0 && long[0].Row == row {
			v := long[0]
			long = long[1:]
			size := int64(v.End - v.Start)
			if p.Policy == pipeline.DropPayloads {
				counts.Dropped++
				counts.DroppedBytes += size
				beside[0].AppendInt64(size)
				continue
			}
			counts.Referenced++
			counts.ReferencedBytes += size
			p.point(beside, b, object, v)
			continue
		}
		size := beside[0]
		if p.Policy == pipeline.ReferPayloads {
			beside[0].AppendNull()
			beside[1].AppendNull()
			beside[2].AppendNull()
			beside[4].AppendNull()
			size = beside[3]
		}
		if c.Valid(row) {
			size.AppendInt64(int64(c.Offsets[row+1] - c.Offsets[row]))
		} else {
			size.AppendNull()
		}
	}
	return counts
}

// point writes one reference.
func (p *payload) point(beside []*column.Column, b *Block, object string, v column.LongValue) {
	beside[0].AppendString(object)
	if b.Plain {
		beside[1].AppendInt64(b.DataOffset + int64(v.Start))
		beside[2].AppendNull()
	} else {
		beside[1].AppendInt64(b.Offset)
		beside[2].AppendInt64(int64(v.Start))
	}
	beside[3].AppendInt64(int64(v.End - v.Start))
	sum := sha256.Sum256(b.Data[v.Start:v.End])
	var digits [2 * sha256.Size]byte
	hex.Encode(digits[:], sum[:])
	beside[4].AppendBytes(digits[:])
}
