package rosbag

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/drivemill/drivemill/pipeline"
)

// Record types (the op field).
const (
	opMessage    = 0x02
	opBagHeader  = 0x03
	opIndexData  = 0x04
	opChunk      = 0x05
	opChunkInfo  = 0x06
	opConnection = 0x07
)

// Limits on what a file may claim. Every length is also checked against the
// bytes that are left, so that memory follows the file and not its claims.
const (
	maxHeader      = 1 << 20 // bytes of a record header
	maxConnection  = 16 << 20
	maxConnections = 1 << 20
	maxDefinitions = 256 << 20 // bytes of all connection records together
	maxChunk       = 1 << 30   // bytes of a chunk, stored or unpacked
)

// Reasons why bytes are no record. The caller adds the place.
var (
	errEmptyHeader = errors.New("record header is empty")
	errLongHeader  = errors.New("record header is longer than the record")
	errLongData    = errors.New("record data passes the end")
	errLongField   = errors.New("header field is longer than the header")
	errNoEquals    = errors.New("header field has no '='")
)

// fieldReader walks the fields of a record header, or of connection data,
// which uses the same syntax.
type fieldReader struct {
	buf []byte
	off int
}

// next returns the next field, or an error and the offset of the field in buf
// at fault as f.off. ok is false at the end.
func (f *fieldReader) next() (name, value []byte, ok bool, err error) {
	b := f.buf[f.off:]
	if len(b) == 0 {
		return nil, nil, false, nil
	}
	if len(b) < 4 {
		return nil, nil, false, errLongField
	}
	n := uint64(binary.LittleEndian.Uint32(b))
	if n > uint64(len(b)-4) {
		return nil, nil, false, errLongField
	}
	field := b[4 : 4+n]
	for i, c := range field {
		if c == '=' {
			f.off += 4 + int(n)
			return field[:i], field[i+1:], true, nil
		}
	}
	return nil, nil, false, errNoEquals
}

// header holds the values of the known fields of a record header, nil where
// absent. Values are raw; the accessors check their size.
type header struct {
	op          []byte
	conn        []byte
	time        []byte
	count       []byte
	ver         []byte
	size        []byte
	compression []byte
	topic       []byte
	chunkPos    []byte
	startTime   []byte
	endTime     []byte
	indexPos    []byte
	connCount   []byte
	chunkCount  []byte
	encryptor   []byte
}

// parse fills h from the bytes of a record header. Unknown fields are ignored,
// of a repeated field the last one holds. On failure it also returns the
// offset in b of the field at fault.
func (h *header) parse(b []byte) (int, error) {
	*h = header{}
	if len(b) == 0 {
		return 0, errEmptyHeader
	}
	f := fieldReader{buf: b}
	for {
		name, value, ok, err := f.next()
		if err != nil {
			return f.off, err
		}
		if !ok {
			break
		}
		switch string(name) {
		case "op":
			h.op = value
		case "conn":
			h.conn = value
		case "time":
			h.time = value
		case "count":
			h.count = value
		case "ver":
			h.ver = value
		case "size":
			h.size = value
		case "compression":
			h.compression = value
		case "topic":
			h.topic = value
		case "chunk_pos":
			h.chunkPos = value
		case "start_time":
			h.startTime = value
		case "end_time":
			h.endTime = value
		case "index_pos":
			h.indexPos = value
		case "conn_count":
			h.connCount = value
		case "chunk_count":
			h.chunkCount = value
		case "encryptor":
			h.encryptor = value
		}
	}
	if len(h.op) != 1 {
		return 0, fmt.Errorf("record header has no op of one byte")
	}
	return 0, nil
}

func u32(v []byte, name string) (uint32, error) {
	if len(v) != 4 {
		return 0, fieldSize(v, name, 4)
	}
	return binary.LittleEndian.Uint32(v), nil
}

func u64(v []byte, name string) (uint64, error) {
	if len(v) != 8 {
		return 0, fieldSize(v, name, 8)
	}
	return binary.LittleEndian.Uint64(v), nil
}

// stamp reads a time. Seconds and nanoseconds are unsigned and of 32 bits, so
// that the sum fits int64 for all values, also where nanoseconds pass a second;
// odd tells that they did.
func stamp(v []byte, name string) (ns int64, odd bool, err error) {
	if len(v) != 8 {
		return 0, false, fieldSize(v, name, 8)
	}
	ns, odd = stampOf(binary.LittleEndian.Uint64(v))
	return ns, odd, nil
}

// stampOf converts the eight bytes of a time, read little-endian.
func stampOf(v uint64) (ns int64, odd bool) {
	nsec := int64(v >> 32)
	return int64(v&0xffffffff)*1e9 + nsec, nsec >= 1e9
}

func fieldSize(v []byte, name string, want int) error {
	if v == nil {
		return fmt.Errorf("field %s is missing", name)
	}
	return fmt.Errorf("field %s has %d bytes instead of %d", name, len(v), want)
}

// cut splits the record at the start of b. n is the length of the record. The
// error is errLongHeader or errLongData where b is too short for what the
// record claims.
func cut(b []byte) (hdr, data []byte, n int, err error) {
	if len(b) < 4 {
		return nil, nil, 0, errLongHeader
	}
	hl := uint64(binary.LittleEndian.Uint32(b))
	if hl == 0 {
		return nil, nil, 0, errEmptyHeader
	}
	if hl > uint64(len(b)-4) {
		return nil, nil, 0, errLongHeader
	}
	hdr, b = b[4:4+hl], b[4+hl:]
	if len(b) < 4 {
		return nil, nil, 0, errLongData
	}
	dl := uint64(binary.LittleEndian.Uint32(b))
	if dl > uint64(len(b)-4) {
		return nil, nil, 0, errLongData
	}
	return hdr, b[4 : 4+dl], 8 + int(hl) + int(dl), nil
}

// file reads records at any offset of an object through a window, so that
// neighbouring records cost one read.
type file struct {
	src  pipeline.Source
	uri  string
	size int64
	step int // bytes to read at least
	buf  []byte
	off  int64 // of buf in the object
}

func newFile(src pipeline.Source, step int) *file {
	o := src.Object()
	return &file{src: src, uri: o.URI, size: o.Size, step: step}
}

// bytes returns n bytes at off, fewer only where the object ends. They are
// valid until the next call.
func (f *file) bytes(ctx context.Context, off int64, n int) ([]byte, error) {
	if off >= f.size {
		return nil, nil
	}
	n = int(min(int64(n), f.size-off))
	if off < f.off || off+int64(n) > f.off+int64(len(f.buf)) {
		want := int(min(int64(max(n, f.step)), f.size-off))
		if cap(f.buf) < want {
			f.buf = make([]byte, want)
		}
		f.buf = f.buf[:want]
		if err := readFull(ctx, f.src, f.buf, off); err != nil {
			f.buf = f.buf[:0]
			return nil, fmt.Errorf("reading %d bytes at offset %d of %s: %w", want, off, f.uri, err)
		}
		f.off = off
	}
	i := int(off - f.off)
	return f.buf[i : i+n], nil
}

// readFull fills p, which lies inside the object.
func readFull(ctx context.Context, src pipeline.Source, p []byte, off int64) error {
	for len(p) > 0 {
		n, err := src.ReadAt(ctx, p, off)
		p, off = p[n:], off+int64(n)
		if len(p) == 0 {
			return nil
		}
		if errors.Is(err, io.EOF) || (err == nil && n == 0) {
			return fmt.Errorf("%w: object ends at %d, before its listed size", pipeline.ErrTruncated, off)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// record is a record in a file, its data not read yet.
type record struct {
	header
	op      byte
	off     int64 // of the record
	dataOff int64
	dataLen int64
}

func (r *record) end() int64 { return r.dataOff + r.dataLen }

// record reads the header of the record at off. Its values are valid until the
// next read. The data may pass the end of the file: the caller checks. What is
// wrong with the bytes comes as a *pipeline.DecodeError.
func (f *file) record(ctx context.Context, off int64) (record, error) {
	r := record{off: off}
	b, err := f.bytes(ctx, off, 4)
	if err != nil {
		return r, err
	}
	if len(b) < 4 {
		return r, f.truncated(off, "inside the length of a record header")
	}
	n := int64(binary.LittleEndian.Uint32(b))
	switch {
	case n == 0:
		return r, f.corrupt(off, errEmptyHeader)
	case n > maxHeader:
		return r, f.fail(off, fmt.Errorf("%w: record header of %d bytes", pipeline.ErrLimit, n))
	}
	if b, err = f.bytes(ctx, off, 8+int(n)); err != nil {
		return r, err
	}
	if int64(len(b)) < 8+n {
		return r, f.truncated(off, fmt.Sprintf("inside a record header of %d bytes", n))
	}
	if at, err := r.parse(b[4 : 4+n]); err != nil {
		return r, f.corrupt(off+4+int64(at), err)
	}
	r.header.op, r.op = nil, r.header.op[0]
	r.dataOff = off + 8 + n
	r.dataLen = int64(binary.LittleEndian.Uint32(b[4+n:]))
	return r, nil
}

// data reads the data of r, at most limit bytes. Values of r.header are lost.
func (f *file) data(ctx context.Context, r *record, limit int64, what string) ([]byte, error) {
	if r.dataLen > limit {
		return nil, f.fail(r.off, fmt.Errorf("%w: %s record of %d bytes", pipeline.ErrLimit, what, r.dataLen))
	}
	if r.end() > f.size {
		return nil, f.truncated(r.off, "inside a "+what+" record")
	}
	return f.bytes(ctx, r.dataOff, int(r.dataLen))
}

func (f *file) corrupt(off int64, err error) error {
	return f.fail(off, fmt.Errorf("%w: %w", pipeline.ErrCorrupt, err))
}

func (f *file) truncated(off int64, where string) error {
	return f.fail(off, fmt.Errorf("%w: the file of %d bytes ends %s", pipeline.ErrTruncated, f.size, where))
}

func (f *file) fail(off int64, err error) error {
	return &pipeline.DecodeError{Object: f.uri, Format: Name, Offset: off, Record: -1, Err: err}
}

// inFile tells errors about the bytes of a file from failures to read them.
func inFile(err error) (*pipeline.DecodeError, bool) {
	var d *pipeline.DecodeError
	ok := errors.As(err, &d)
	return d, ok
}
