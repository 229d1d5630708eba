package dbc

import (
	"encoding/binary"
	"strings"
	"unsafe"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// frameColumns are the positions of what makes up a frame; -1: not there.
type frameColumns struct {
	id, extended, remote, err, dlc, length, data, channel int
}

// usual names of the columns of frames, the first that is there counts.
var usual = map[string][]string{
	"id":       {"id", "can_id", "arbitration_id"},
	"extended": {"ide", "is_extended", "extended", "is_extended_id"},
	"remote":   {"rtr", "is_rtr", "remote", "is_remote_frame"},
	"error":    {"is_error", "error", "is_error_frame"},
	"dlc":      {"dlc"},
	"length":   {"data_length", "len", "length"},
	"data":     {"data_bytes", "data", "payload"},
	"channel":  {"bus_channel", "channel"},
}

// findColumns finds the columns of frames in t. Mistakes are reported.
func (s *stage) findColumns(t *pipeline.Table, issues *pipeline.Issues) frameColumns {
	c := &s.Columns
	find := func(role string, declared pipeline.Text, fits func(arrow.DataType) bool) int {
		if declared.Value != "" {
			at := t.Column(declared.Value)
			switch {
			case at < 0:
				i := declared.Issuef(0, "table %s has no column %q", t.LakeName(), declared.Value)
				i.Suggestion = pipeline.Nearest(declared.Value, t.ColumnNames())
				issues.Add(i)
			case !fits(t.Schema.Field(at).Type):
				issues.Add(declared.Issuef(0, "column %s of table %s is %s, which is no %s of a frame", declared.Value, t.LakeName(), t.Schema.Field(at).Type, role))
			}
			return at
		}
		for _, name := range usual[role] {
			if at := t.Column(name); at >= 0 && fits(t.Schema.Field(at).Type) {
				return at
			}
		}
		return -1
	}
	f := frameColumns{
		id: find("id", c.ID, isNumber), extended: find("extended", c.Extended, isNumber), remote: find("remote", c.Remote, isNumber),
		err: find("error", c.Error, isNumber), dlc: find("dlc", c.DLC, isNumber), length: find("length", c.Length, isNumber),
		data: find("data", c.Data, isBytes), channel: find("channel", c.Channel, isNumber),
	}
	at := s.Databases[0].File
	at.Path, _, _ = strings.Cut(at.Path, ".databases")
	if f.id < 0 && c.ID.Value == "" {
		issues.Add(at.Issuef(0, "table %s has no column with the identifier of a CAN frame (id); name it under columns", t.LakeName()))
	}
	if f.data < 0 && c.Data.Value == "" {
		issues.Add(at.Issuef(0, "table %s has no column with the data bytes of a CAN frame (data, data_bytes); name it under columns", t.LakeName()))
	}
	return f
}

// isNumber tells integers and bools.
func isNumber(t arrow.DataType) bool {
	return t.ID() == arrow.BOOL || integerWidth(t) > 0
}

func integerWidth(t arrow.DataType) int {
	switch t.ID() {
	case arrow.INT8, arrow.UINT8:
		return 1
	case arrow.INT16, arrow.UINT16:
		return 2
	case arrow.INT32, arrow.UINT32:
		return 4
	case arrow.INT64, arrow.UINT64:
		return 8
	}
	return 0
}

// isBytes tells binary columns and lists of integers.
func isBytes(t arrow.DataType) bool {
	switch t := t.(type) {
	case *arrow.ListType:
		return integerWidth(t.Elem()) > 0
	case *arrow.FixedSizeListType:
		return integerWidth(t.Elem()) > 0
	}
	return t.ID() == arrow.BINARY
}

// numbers reads a column of integers or bools into dst; nulls become -1. The
// upper half of uint64 is taken for null too: nothing of a frame is so large.
func numbers(dst []int64, arr arrow.Array) {
	data := arr.Data()
	from, n := data.Offset(), arr.Len()
	if data.DataType().ID() == arrow.NULL || data.Buffers()[1] == nil {
		for i := range dst {
			dst[i] = -1
		}
		return
	}
	raw := data.Buffers()[1].Bytes()
	switch data.DataType().ID() {
	case arrow.BOOL:
		for i := range dst {
			dst[i] = int64(raw[(from+i)>>3] >> ((from + i) & 7) & 1)
		}
	case arrow.INT8, arrow.UINT8:
		for i, v := range raw[from : from+n] {
			dst[i] = int64(v)
		}
	case arrow.INT16, arrow.UINT16:
		for i := range dst {
			dst[i] = int64(binary.LittleEndian.Uint16(raw[2*(from+i):]))
		}
	case arrow.INT32, arrow.UINT32:
		for i := range dst {
			dst[i] = int64(binary.LittleEndian.Uint32(raw[4*(from+i):]))
		}
	default:
		for i := range dst {
			if dst[i] = int64(binary.LittleEndian.Uint64(raw[8*(from+i):])); dst[i] < 0 {
				dst[i] = -1
			}
		}
	}
	if arr.NullN() > 0 {
		for i := range dst {
			if arr.IsNull(i) {
				dst[i] = -1
			}
		}
	}
}

// frames is one batch of frames. Its memory is used again for the next.
type frames struct {
	rows    int
	id      []int64
	ext     []int64
	remote  []int64
	err     []int64
	channel []int64
	length  []int64
	dlc     []int64
	data    []byte // shared with the batch unless bytes had to be narrowed
	start   []int32
	size    []int32 // -1: no data
	narrow  []byte
}

func (f *frames) column(dst []int64, rec arrow.Record, at int) []int64 {
	if at < 0 {
		return dst[:0]
	}
	if cap(dst) < f.rows {
		dst = make([]int64, f.rows)
	}
	dst = dst[:f.rows]
	numbers(dst, rec.Column(at))
	return dst
}

// load reads the columns of a batch.
func (f *frames) load(c *frameColumns, rec arrow.Record) {
	f.rows = int(rec.NumRows())
	f.id = f.column(f.id, rec, c.id)
	f.ext = f.column(f.ext, rec, c.extended)
	f.remote = f.column(f.remote, rec, c.remote)
	f.err = f.column(f.err, rec, c.err)
	f.channel = f.column(f.channel, rec, c.channel)
	f.length = f.column(f.length, rec, c.length)
	f.dlc = f.column(f.dlc, rec, c.dlc)
	f.payloads(rec.Column(c.data))
	for i, have := range f.size {
		if have < 0 {
			continue
		}
		claim := int64(have)
		switch {
		case len(f.length) > 0 && f.length[i] >= 0:
			claim = f.length[i]
		case len(f.dlc) > 0 && f.dlc[i] >= 0:
			claim = bytesOf(f.dlc[i], int64(have))
		}
		f.size[i] = int32(min(claim, int64(have)))
	}
}

// dlcBytes are the lengths that the codes 9 to 15 stand for in CAN FD (ISO
// 11898-1).
var dlcBytes = [...]int64{12, 16, 20, 24, 32, 48, 64}

// bytesOf is the number of data bytes of a frame whose data have room for that
// many. Some loggers write lengths for codes.
func bytesOf(dlc, room int64) int64 {
	switch {
	case dlc <= 8 || dlc > 15:
		return dlc
	case room <= 8:
		return 8
	}
	return dlcBytes[dlc-9]
}

// payloads finds where the bytes of each row lie.
func (f *frames) payloads(arr arrow.Array) {
	if cap(f.start) < f.rows {
		f.start, f.size = make([]int32, f.rows), make([]int32, f.rows)
	}
	f.start, f.size = f.start[:f.rows], f.size[:f.rows]
	f.data = nil
	switch a := arr.(type) {
	case *arrow.Binary:
		f.offsets(a.ValueOffsets())
		if b := a.Data().Buffers()[2]; b != nil {
			f.data = b.Bytes()
		}
	case *arrow.List:
		f.offsets(a.Offsets()[a.Offset():])
		f.bytes(a.ListValues())
	case *arrow.FixedSizeList:
		w := a.DataType().(*arrow.FixedSizeListType).Len()
		for i := range f.start {
			f.start[i], f.size[i] = (int32(a.Offset())+int32(i))*w, w
		}
		f.bytes(a.ListValues())
	}
	if arr.NullN() > 0 {
		for i := range f.size {
			if arr.IsNull(i) {
				f.size[i] = -1
			}
		}
	}
}

func (f *frames) offsets(o []int32) {
	for i := range f.start {
		f.start[i], f.size[i] = o[i], o[i+1]-o[i]
	}
}

// bytes takes the values of a list: shared where they are bytes, otherwise
// narrowed to bytes.
func (f *frames) bytes(values arrow.Array) {
	data := values.Data()
	width := integerWidth(data.DataType())
	buf := data.Buffers()[1]
	if buf == nil {
		return
	}
	raw := buf.Bytes()[data.Offset()*width:]
	if width == 1 {
		f.data = raw
		return
	}
	n := data.Len()
	if cap(f.narrow) < n {
		f.narrow = make([]byte, n)
	}
	f.narrow = f.narrow[:n]
	for i := range f.narrow {
		f.narrow[i] = raw[i*width]
	}
	f.data = f.narrow
}

// times reads a column of timestamps; nil when there is none.
func times(arr arrow.Array) []int64 {
	buf := arr.Data().Buffers()[1]
	if buf == nil || arr.Len() == 0 {
		return nil
	}
	b := buf.Bytes()[8*arr.Data().Offset():]
	return unsafe.Slice((*int64)(unsafe.Pointer(unsafe.SliceData(b))), arr.Len())
}
