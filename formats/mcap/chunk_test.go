package mcap

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"reflect"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// A chunk whose CRC stands in for the checksum of its frame opens as one that
// is checked twice: with the same bytes, and the same damage wherever a byte
// is wrong. Only a wrong checksum over right bytes goes unnoticed.
func TestChunkChecksums(t *testing.T) {
	data := bytes.Repeat([]byte("a message that compresses, "), 40)
	e, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	frame := e.EncodeAll(data, nil)
	body := make([]byte, 16)
	body = binary.LittleEndian.AppendUint64(body, uint64(len(data)))
	body = binary.LittleEndian.AppendUint32(body, crc32.ChecksumIEEE(data))
	body = append(binary.LittleEndian.AppendUint32(body, 4), "zstd"...)
	body = binary.LittleEndian.AppendUint64(body, uint64(len(frame)))
	head := len(body)
	body = append(body, frame...)

	var c codecs
	var o opened
	c.open(&o, body, nil, true, Limits{})
	if !bytes.Equal(o.data, data) || len(o.damages) != 0 || c.zstd != nil {
		t.Fatalf("%d bytes, damages %v, checked twice: %v", len(o.data), o.damages, c.zstd != nil)
	}
	checksum := len(body) - 4
	for i := head; i < len(body); i++ {
		bad := bytes.Clone(body)
		bad[i] ^= 0x41
		c.open(&o, bad, nil, true, Limits{})
		if i >= checksum {
			if len(o.damages) != 0 || !bytes.Equal(o.data, data) {
				t.Errorf("checksum: %v", o.damages)
			}
			continue
		}
		out, err := c.unpack(nil, bad[head:], "zstd", int64(len(data)), Limits{}.chunk())
		if err == nil && bytes.Equal(out, data) {
			continue // a bit that says nothing
		}
		var again opened
		bad = bytes.Clone(bad)
		binary.LittleEndian.PutUint32(bad[24:], 0) // no CRC: the frame's counts
		c.open(&again, bad, nil, true, Limits{})
		if len(o.damages) == 0 {
			t.Errorf("byte %d: no damage", i)
		}
		if len(again.damages) > 0 && (!reflect.DeepEqual(o.damages, again.damages) || o.missing != again.missing) {
			t.Errorf("byte %d: %v, %d missing; without CRC %v, %d missing", i, o.damages, o.missing, again.damages, again.missing)
		}
	}
}
