package mcap

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"

	"github.com/drivemill/drivemill/pipeline"
)

// Record is one record of a file as a Reader yields it.
type Record struct {
	Op Op
	// Offset of the record in the file; of its chunk for one in a chunk.
	Offset int64
	// Position in the unpacked chunk, -1 for a record outside of chunks.
	Position int64
	// Content is valid until the next call of Next. That of a chunk holds its
	// fields without the records, which follow one by one; that of an
	// attachment is nil.
	Content []byte
	// Attachment streams the data of an attachment, until the next call.
	Attachment *AttachmentReader
}

// Reader reads a file from its beginning to its end, record by record, with
// those in chunks. It uses no index, holds no more than one record or chunk,
// and goes on after damage as long as it finds records.
type Reader struct {
	f    *frames
	lim  Limits
	code codecs

	chunk    opened
	buf      []byte // to unpack into
	pos      int
	inChunk  bool
	chunkAt  int64
	attached *AttachmentReader
	pending  error // to be returned when the chunk at hand is done

	started  bool
	midway   bool  // reading did not begin at the beginning: sums are not known
	dataEnd  int64 // offset behind DataEnd, 0 before
	finished error
	problems []pipeline.Problem
	lost     int64
}

// NewReader reads from r a file of size bytes, or -1 where the size is unknown.
func NewReader(r io.Reader, size int64, lim Limits) *Reader {
	return &Reader{f: newFrames(r, size), lim: lim}
}

// Close frees the decompressors.
func (r *Reader) Close() { r.code.close() }

// Problems tells what was wrong so far, other than the error of Next.
func (r *Reader) Problems() []pipeline.Problem { return r.problems }

// Lost is how many bytes could not be read so far: of chunks, unpacked ones.
func (r *Reader) Lost() int64 { return r.lost }

func (r *Reader) problem(kind string, off int64, loses bool, format string, args ...any) {
	r.problems = append(r.problems, pipeline.Problem{Kind: kind, Offset: off, Loses: loses, Detail: fmt.Sprintf(format, args...)})
}

// offsetError is an error at an offset of the file.
type offsetError struct {
	off int64
	err error
}

func (e *offsetError) Error() string { return fmt.Sprintf("offset %d: %v", e.off, e.err) }
func (e *offsetError) Unwrap() error { return e.err }

func at(off int64, format string, args ...any) error {
	return &offsetError{off, fmt.Errorf(format, args...)}
}

// Next returns the next record. It returns io.EOF at the end of a file that is
// whole, and an error that wraps pipeline.ErrTruncated or pipeline.ErrCorrupt
// where no further record can be found. Errors name the offset.
func (r *Reader) Next() (Record, error) {
	for {
		if r.inChunk {
			if rec, ok := r.inner(); ok {
				return rec, nil
			}
			r.inChunk = false
		}
		if r.finished == nil && r.pending != nil {
			r.finished = r.pending
		}
		if r.finished != nil {
			return Record{}, r.finished
		}
		rec, ok, err := r.outer()
		if err != nil {
			r.finished = err
			return Record{}, err
		}
		if ok {
			return rec, nil
		}
	}
}

// outer reads the next record outside of chunks. It reports false for one
// that is skipped, and for a chunk that is to be read.
func (r *Reader) outer() (rec Record, ok bool, err error) {
	f := r.f
	if !r.started {
		r.started = true
		if err := f.magic(); err != nil {
			return rec, false, err
		}
	}
	if r.attached != nil {
		if err := r.attached.finish(); err != nil {
			return rec, false, r.cut(r.attached.frame, err)
		}
		r.attached = nil
	}
	fr, err := f.next()
	rec = Record{Op: fr.op, Offset: fr.off, Position: -1}
	switch {
	case errors.Is(err, io.EOF):
		return rec, false, at(fr.off, "the file ends without a footer: %w", pipeline.ErrTruncated)
	case err != nil:
		r.lost += f.off - fr.off
		return rec, false, at(fr.off, "%w", err)
	case fr.zeros:
		r.loseRest(fr.off)
		return rec, false, at(fr.off, "zeros where a record should be: %w", pipeline.ErrTruncated)
	case fr.op == 0:
		r.loseRest(fr.off)
		return rec, false, at(fr.off, "opcode 0x00: %w", pipeline.ErrCorrupt)
	}
	switch fr.op {
	case OpChunk:
		return r.openChunk(fr)
	case OpAttachment:
		a, err := openAttachment(f, fr, r.lim)
		if errors.Is(err, pipeline.ErrTruncated) {
			return rec, false, r.cut(fr, err)
		}
		if err != nil {
			r.problem("bad_record", fr.off, true, "%v", err)
		} else {
			rec.Attachment = a
		}
		a.report = func(stored, sum uint32) {
			r.problem("crc_mismatch", fr.off, false, "attachment %q has CRC %08x and claims %08x", a.Name, sum, stored)
		}
		r.attached = a
		return rec, err == nil, nil
	}
	rec.Content, err = f.read(fr.size, r.lim.record())
	switch {
	case errors.Is(err, pipeline.ErrLimit):
		r.problem("bad_record", fr.off, true, "%s: %v", fr.op, err)
		n, err := f.skip(fr.size)
		r.lost += int64(n)
		if err != nil {
			err = r.cut(fr, err)
		}
		return rec, false, err
	case err != nil:
		return rec, false, r.cut(fr, err)
	}
	switch fr.op {
	case OpDataEnd:
		if d, err := ParseDataEnd(rec.Content); err == nil && !r.midway && d.DataCRC != 0 && d.DataCRC != fr.crc {
			r.problem("crc_mismatch", fr.off, false, "data section has CRC %08x and claims %08x", fr.crc, d.DataCRC)
		}
		r.dataEnd = f.off
		f.restart()
	case OpFooter:
		r.footer(fr, rec.Content)
	}
	return rec, true, nil
}

// cut describes a record that the file ends in.
func (r *Reader) cut(fr frame, err error) error {
	if !errors.Is(err, pipeline.ErrTruncated) {
		return at(fr.off, "reading %s: %w", fr.op, err)
	}
	r.lost += r.f.off - fr.off
	return at(fr.off, "%s of %d bytes has only %d: %w", fr.op, fr.size, r.f.off-fr.off-frameLen, pipeline.ErrTruncated)
}

// loseRest counts what lies from off to the end.
func (r *Reader) loseRest(off int64) {
	if r.f.size >= 0 {
		r.lost += r.f.size - off
		return
	}
	n, _ := r.f.skip(math.MaxUint64)
	r.lost += frameLen + int64(n)
}

// footer checks the end of the file.
func (r *Reader) footer(fr frame, content []byte) {
	ft, err := ParseFooter(content)
	if err != nil {
		r.problem("bad_index", fr.off, false, "%v", err)
	} else if r.dataEnd != 0 && ft.SummaryCRC != 0 {
		// The sum covers the summary and the Footer up to the field itself.
		var head [frameLen]byte
		head[0] = byte(OpFooter)
		binary.LittleEndian.PutUint64(head[1:], fr.size)
		sum, known := uint32(0), ft.SummaryStart == 0
		if int64(ft.SummaryStart) == r.dataEnd {
			sum, known = fr.tail, true
		}
		sum = crc32.Update(crc32.Update(sum, crc32.IEEETable, head[:]), crc32.IEEETable, content[:16])
		if known && sum != ft.SummaryCRC {
			r.problem("crc_mismatch", fr.off, false, "summary has CRC %08x and claims %08x", sum, ft.SummaryCRC)
		}
	}
	r.finished = io.EOF
	end := r.f.off
	var magic [len(Magic)]byte // content is still in use
	n, err := io.ReadFull(r.f.r, magic[:])
	r.f.advance(magic[:n])
	switch {
	case err != nil || string(magic[:]) != Magic:
		r.finished = at(end, "bad magic at the end of the file: %w", pipeline.ErrTruncated)
	default:
		if n, _ := r.f.skip(math.MaxUint64); n > 0 {
			r.problem("corrupt", r.f.off-int64(n), false, "%d bytes after the end of the file", n)
		}
	}
}

// openChunk unpacks a chunk. Its fields are a record of their own.
func (r *Reader) openChunk(fr frame) (Record, bool, error) {
	rec := Record{Op: OpChunk, Offset: fr.off, Position: -1}
	body, err := r.f.read(fr.size, r.lim.record())
	if errors.Is(err, pipeline.ErrLimit) {
		r.problem("chunk_limit", fr.off, true, "%v", err)
		n, err := r.f.skip(fr.size)
		r.lost += int64(n)
		if err != nil {
			err = r.cut(fr, err)
		}
		return rec, false, err
	}
	whole := err == nil
	if err != nil {
		before := r.lost
		r.pending = r.cut(fr, err)
		r.lost = before // what is lost is told below
		if !errors.Is(err, pipeline.ErrTruncated) {
			return rec, false, r.pending
		}
	}
	r.buf = r.code.open(&r.chunk, body, r.buf, whole, r.lim)
	r.lost += r.chunk.missing
	for _, d := range r.chunk.damages {
		if whole {
			r.problem(d.kind, fr.off, d.loses, "%s", d.detail)
		}
	}
	r.inChunk, r.pos, r.chunkAt = true, 0, fr.off
	rec.Content = body[:len(body)-len(r.chunk.Records)]
	if r.chunk.Records == nil {
		rec.Content = body
	}
	return rec, true, nil
}

// inner returns the next record of the chunk at hand.
func (r *Reader) inner() (Record, bool) {
	for {
		op, content, next, err := record(r.chunk.data, r.pos)
		if err != nil {
			left := len(r.chunk.data) - r.pos
			r.lost += int64(left)
			if r.chunk.missing == 0 && r.pending == nil {
				r.problem("chunk_corrupt", r.chunkAt, true, "at %d of the chunk: %v", r.pos, err)
			}
			return Record{}, false
		}
		if op == 0 {
			return Record{}, false
		}
		rec := Record{Op: op, Offset: r.chunkAt, Position: int64(r.pos), Content: content}
		r.pos = next
		if op <= OpDataEnd && op != OpSchema && op != OpChannel && op != OpMessage {
			r.problem("unexpected_record", r.chunkAt, false, "%s at %d of a chunk", op, rec.Position)
			continue
		}
		return rec, true
	}
}

// record reads the record at pos of an unpacked chunk. At the end op is 0.
func record(data []byte, pos int) (op Op, content []byte, next int, err error) {
	if pos == len(data) {
		return 0, nil, pos, nil
	}
	if len(data)-pos < frameLen {
		return 0, nil, pos, fmt.Errorf("%d bytes where a record should be: %w", len(data)-pos, pipeline.ErrTruncated)
	}
	op = Op(data[pos])
	n := binary.LittleEndian.Uint64(data[pos+1:])
	switch {
	case op == 0:
		return 0, nil, pos, fmt.Errorf("opcode 0x00: %w", pipeline.ErrCorrupt)
	case n > uint64(len(data)-pos-frameLen):
		return 0, nil, pos, fmt.Errorf("%s of %d bytes has only %d: %w", op, n, len(data)-pos-frameLen, pipeline.ErrTruncated)
	}
	next = pos + frameLen + int(n)
	return op, data[pos+frameLen : next : next], next, nil
}
