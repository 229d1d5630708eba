package mcap

import (
	"encoding/binary"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/drivemill/drivemill/formats/message"
)

// tinyChunk is the unpacked body of a chunk of n messages of eight bytes.
func tinyChunk(n int) []byte {
	var b []byte
	for i := range n {
		b = append(b, byte(OpMessage))
		b = binary.LittleEndian.AppendUint64(b, messageHead+8)
		b = binary.LittleEndian.AppendUint16(b, 1)
		b = binary.LittleEndian.AppendUint32(b, uint32(i))
		b = binary.LittleEndian.AppendUint64(b, uint64(i))
		b = binary.LittleEndian.AppendUint64(b, uint64(i))
		b = binary.LittleEndian.AppendUint64(b, uint64(i))
	}
	return b
}

// BenchmarkWalk lists the messages of a chunk. The bare walk, which only hops
// from record to record, is what it is to be compared with.
func BenchmarkWalk(b *testing.B) {
	const n = 25000
	data := tinyChunk(n)
	b.Run("bare", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			count := 0
			for pos := 0; pos < len(data); count++ {
				pos += frameLen + int(binary.LittleEndian.Uint64(data[pos+1:]))
			}
			if count != n {
				b.Fatal(count)
			}
		}
	})
	b.Run("list", func(b *testing.B) {
		w := &walker{ix: &index{byID: []int32{-1, 0}}}
		blk, bl := &message.Block{Data: data}, &block{known: true}
		b.SetBytes(int64(len(data)))
		b.ReportAllocs()
		for b.Loop() {
			blk.Records = blk.Records[:0]
			w.list(blk, bl, false)
			if len(blk.Records) != n {
				b.Fatal(len(blk.Records))
			}
		}
	})
	packed := func() []byte {
		e, _ := zstd.NewWriter(nil)
		return e.EncodeAll(data, nil)
	}()
	b.Run("zstd", func(b *testing.B) {
		var c codecs
		var buf []byte
		b.SetBytes(int64(len(data)))
		b.ReportAllocs()
		for b.Loop() {
			var err error
			if buf, err = c.unpack(buf[:0], packed, "zstd", int64(len(data)), 1<<30); err != nil || len(buf) != len(data) {
				b.Fatal(err)
			}
		}
	})
}
