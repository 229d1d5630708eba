package rosbag

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"

	"github.com/drivemill/drivemill/pipeline"
)

// resync deals with bytes at off that are no record and returns where to go on.
func (s *scanner) resync(ctx context.Context, off int64, bad *pipeline.DecodeError) (int64, error) {
	s.endRun()
	from := off + 1
	c := s.cur
	if c != nil && len(s.curCounts) == 0 && c.dataOff+c.dataLen == off {
		// The length of the chunk just before may be what is wrong.
		from = c.dataOff
	}
	next, err := s.findChunk(ctx, from)
	if err != nil {
		return 0, err
	}
	if pos := s.head.indexPos; pos > off && pos < s.in.size && (next < 0 || next > pos) {
		next = pos
	}
	kind := "corrupt"
	if errors.Is(bad.Err, pipeline.ErrTruncated) {
		kind = "truncated"
	}
	switch {
	case next < 0:
		next = s.in.size
	case next < off:
		c.salvage, c.reported = true, true
		s.problem("corrupt", c.off, true, "chunk of %d bytes runs into the next one after %d", c.dataLen, next-c.dataOff)
		c.dataLen = next - c.dataOff
		return next, nil
	default:
		kind = "corrupt"
	}
	// The index holds no messages.
	loses := s.head.indexPos == 0 || off < s.head.indexPos
	zero, err := s.zeros(ctx, off, next)
	if err != nil {
		return 0, err
	}
	switch {
	case zero:
		s.problem("padding", off, false, "%d zero bytes between records", next-off)
	case loses:
		s.lose(kind, bad.Offset, next-off, "%d bytes skipped: %v", next-off, bad.Err)
	default:
		s.problem(kind, bad.Offset, false, "%d bytes skipped: %v", next-off, bad.Err)
	}
	return next, nil
}

// zeros reports whether the bytes of a range that is not long are all zero.
func (s *scanner) zeros(ctx context.Context, from, to int64) (bool, error) {
	if to-from > scanStep {
		return false, nil
	}
	b, err := s.in.bytes(ctx, from, int(to-from))
	if err != nil {
		return false, err
	}
	for _, c := range b {
		if c != 0 {
			return false, nil
		}
	}
	return true, nil
}

// chunkOp is the op field of a chunk record.
var chunkOp = []byte{4, 0, 0, 0, 'o', 'p', '=', opChunk}

// findChunk returns the offset of the first record from off on that is a
// chunk by all appearance, or -1.
func (s *scanner) findChunk(ctx context.Context, off int64) (int64, error) {
	const before = chunkHeaderStep // the op may be the last field
	for at := off; at < s.in.size; {
		b, err := s.in.bytes(ctx, at, scanStep)
		if err != nil {
			return 0, err
		}
		i := bytes.Index(b, chunkOp)
		if i < 0 {
			at += int64(max(1, len(b)-len(chunkOp)+1))
			continue
		}
		op := at + int64(i)
		for start := op - 4; start >= max(off, op-before); start-- {
			ok, err := s.isChunk(ctx, start, op)
			if err != nil {
				return 0, err
			}
			if ok {
				return start, nil
			}
		}
		at = op + 1
	}
	return -1, nil
}

// isChunk reports whether the record at off is a chunk whose op field lies at op.
func (s *scanner) isChunk(ctx context.Context, off, op int64) (bool, error) {
	b, err := s.in.bytes(ctx, off, 4)
	if err != nil || len(b) < 4 {
		return false, err
	}
	if n := int64(binary.LittleEndian.Uint32(b)); n > 4*chunkHeaderStep || off+4+n < op+int64(len(chunkOp)) {
		return false, nil
	}
	r, err := s.in.record(ctx, off)
	if err != nil {
		if _, ok := inFile(err); ok {
			return false, nil
		}
		return false, err
	}
	return r.op == opChunk && len(r.size) == 4 && r.compression != nil, nil
}
