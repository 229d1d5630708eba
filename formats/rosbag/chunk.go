package rosbag

import (
	"bytes"
	"compress/bzip2"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/pierrec/lz4/v4"

	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/pipeline"
)

// Names of the chunk codecs.
const (
	codecNone = "none"
	codecBZ2  = "bz2"
	codecLZ4  = "lz4"
)

// unknownSize is the unpacked size of a chunk whose writer died before it knew.
const unknownSize = -1

// errSize: the size in a chunk record is not that of the chunk.
var errSize = fmt.Errorf("%w: unpacked size is not the one in the chunk record", pipeline.ErrCorrupt)

// unpacker decompresses chunks, one after the other, into memory that it
// keeps. One goroutine uses it.
type unpacker struct {
	raw   []byte
	in    bytes.Reader
	lz    *lz4.Reader
	probe [1]byte
}

// unpack returns the unpacked bytes of a chunk, which are stored itself where
// it is not compressed, and otherwise valid until the next call. On failure
// the bytes before it are returned as well. An error that wraps
// pipeline.ErrTruncated means that stored is a prefix of a chunk.
func (u *unpacker) unpack(codec string, stored []byte, size int64) ([]byte, error) {
	if size > maxChunk {
		return nil, fmt.Errorf("%w: chunk of %d bytes", pipeline.ErrLimit, size)
	}
	switch codec {
	case codecNone:
		switch n := int64(len(stored)); {
		case size == unknownSize || n == size:
			return stored, nil
		case n < size:
			return stored, fmt.Errorf("%w: %d of %d bytes are there", pipeline.ErrTruncated, n, size)
		}
		return nil, errSize
	case codecLZ4:
		if u.lz == nil {
			u.lz = lz4.NewReader(nil)
		}
		// A byte of lz4 stands for 255 bytes at most.
		return u.inflate(stored, size, 255*int64(len(stored))+64, func() (io.Reader, error) {
			u.lz.Reset(&u.in)
			return u.lz, nil
		})
	case codecBZ2:
		return u.inflate(stored, size, 16*int64(len(stored))+900e3, func() (io.Reader, error) {
			return bzip2.NewReader(&u.in), nil
		})
	}
	return nil, fmt.Errorf("%w: chunk compression %q", pipeline.ErrUnsupported, codec)
}

// inflate reads the streams that stored consists of. likely is how much that
// may be: a first allocation, which a chunk cannot make larger by its claim.
func (u *unpacker) inflate(stored []byte, size, likely int64, open func() (io.Reader, error)) (data []byte, err error) {
	u.in.Reset(stored)
	want := size
	if size == unknownSize {
		want = maxChunk
	}
	if first := min(want, likely, maxChunk); int64(cap(u.raw)) < first {
		u.raw = make([]byte, 0, first)
	}
	out := u.raw[:0]
	defer func() {
		u.raw = out[:0]
		if p := recover(); p != nil {
			data, err = nil, fmt.Errorf("%w: unpacking chunk: decompressor failed: %v", pipeline.ErrCorrupt, p)
			u.lz = nil
		}
	}()
	for {
		r, err := open()
		if err != nil {
			return out, err
		}
		for {
			if int64(len(out)) == want {
				// The end of the stream is read too: its checksum is there.
				n, err := r.Read(u.probe[:])
				if n > 0 {
					return nil, errSize
				}
				if err == io.EOF {
					break
				}
				if err != nil {
					return out, codecError(err)
				}
				continue
			}
			if len(out) == cap(out) {
				out = append(out, 0)[:len(out)]
			}
			n, err := r.Read(out[len(out):min(int64(cap(out)), want)])
			out = out[:len(out)+n]
			if err == io.EOF {
				break
			}
			if err != nil {
				return out, codecError(err)
			}
		}
		// What follows a stream that is long enough does not belong to it.
		if size == unknownSize || int64(len(out)) == want || u.in.Len() == 0 {
			break
		}
	}
	if size != unknownSize && int64(len(out)) != size {
		return out, errSize
	}
	return out, nil
}

// codecError gives an error of a codec its kind.
func codecError(err error) error {
	kind := pipeline.ErrCorrupt
	if errors.Is(err, io.ErrUnexpectedEOF) {
		kind = pipeline.ErrTruncated
	}
	return fmt.Errorf("%w: unpacking chunk: %w", kind, err)
}

// isChecksum reports whether err says that a checksum is wrong.
func isChecksum(err error) bool {
	var s bzip2.StructuralError
	if errors.As(err, &s) {
		return s == "checksum mismatch" || s == "block checksum mismatch"
	}
	return errors.Is(err, lz4.ErrInvalidFrameChecksum) || errors.Is(err, lz4.ErrInvalidBlockChecksum) ||
		errors.Is(err, lz4.ErrInvalidHeaderChecksum)
}

// messageHeader is where the three fields lie in a message header of 38 bytes,
// which is one that has nothing else.
type messageHeader struct{ conn, op, time int }

const messageHeaderLen = 38

// messageLen is the shortest record of a message.
const messageLen = 8 + messageHeaderLen

// messageHeaders are the orders they may come in, the usual one first.
var messageHeaders = [...]messageHeader{
	{0, 13, 21}, {0, 30, 13}, {8, 0, 21}, {25, 0, 8}, {17, 30, 0}, {25, 17, 0},
}

// The first eight bytes of each field, read little-endian: length and name.
const (
	opField   = 0x04 | uint64(opMessage)<<56 | '='<<48 | 'p'<<40 | 'o'<<32
	connField = 0x09 | uint64('n')<<56 | 'n'<<48 | 'o'<<40 | 'c'<<32
	timeField = 0x0d | uint64('e')<<56 | 'm'<<48 | 'i'<<40 | 't'<<32
)

// matches reports whether h is laid out like l.
func (l messageHeader) matches(h *[messageHeaderLen]byte) bool {
	return binary.LittleEndian.Uint64(h[l.op:]) == opField &&
		binary.LittleEndian.Uint64(h[l.conn:]) == connField && h[l.conn+8] == '=' &&
		binary.LittleEndian.Uint64(h[l.time:]) == timeField && h[l.time+8] == '='
}

// chunkWalker walks the records of unpacked chunks.
type chunkWalker struct {
	known messageHeader // the layout of the last message header
	// odd counts the times with a second of nanoseconds or more.
	odd int64
	// connection is called for each connection record.
	connection func(topic []byte, conn uint32, data []byte)
}

// walk appends the messages in data to recs, with the id of their connection
// as the channel. It returns how many bytes it understood; the error says what
// is wrong with those that follow.
func (w *chunkWalker) walk(data []byte, recs []message.Record) ([]message.Record, int, error) {
	if w.known == (messageHeader{}) {
		w.known = messageHeaders[0]
	}
	known, off := w.known, 0
	for off < len(data) {
		b := data[off:]
		if len(b) >= messageLen && binary.LittleEndian.Uint32(b) == messageHeaderLen && known.matches((*[messageHeaderLen]byte)(b[4:])) {
			h := (*[messageHeaderLen]byte)(b[4:])
			n := int(binary.LittleEndian.Uint32(b[4+messageHeaderLen:]))
			if n > len(b)-messageLen {
				return recs, off, errLongData
			}
			t, odd := stampOf(binary.LittleEndian.Uint64(h[known.time+9:]))
			if odd {
				w.odd++
			}
			start := off + messageLen
			off = start + n
			recs = append(recs, message.Record{
				Channel:     int32(binary.LittleEndian.Uint32(h[known.conn+9:])),
				LogTime:     t,
				PublishTime: t,
				Span:        message.Span{Start: uint32(start), End: uint32(off)},
			})
			continue
		}
		var err error
		var n int
		if recs, n, err = w.slow(b, off, recs); err != nil {
			return recs, off, err
		}
		known = w.known
		off += n
	}
	return recs, off, nil
}

// slow reads the record at the start of b, whatever it is; off is that of b.
func (w *chunkWalker) slow(b []byte, off int, recs []message.Record) ([]message.Record, int, error) {
	hdr, data, n, err := cut(b)
	if err != nil {
		return recs, 0, err
	}
	var h header
	if _, err := h.parse(hdr); err != nil {
		return recs, 0, err
	}
	switch h.op[0] {
	case opMessage:
		conn, err := u32(h.conn, "conn")
		if err != nil {
			return recs, 0, err
		}
		t, odd, err := stamp(h.time, "time")
		if err != nil {
			return recs, 0, err
		}
		if odd {
			w.odd++
		}
		recs = append(recs, message.Record{
			Channel:     int32(conn),
			LogTime:     t,
			PublishTime: t,
			Span:        message.Span{Start: uint32(off + n - len(data)), End: uint32(off + n)},
		})
		if len(hdr) == messageHeaderLen {
			for _, l := range messageHeaders {
				if l.matches((*[messageHeaderLen]byte)(hdr)) {
					w.known = l
					break
				}
			}
		}
	case opConnection:
		conn, err := u32(h.conn, "conn")
		if err != nil {
			return recs, 0, err
		}
		if w.connection != nil {
			w.connection(h.topic, conn, data)
		}
	}
	return recs, n, nil
}
