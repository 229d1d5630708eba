package mdf4

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"strconv"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
)

// Columns of a table in long layout, beside time.
const (
	signalColumn = "signal_id"
	doubleColumn = "value_double"
	intColumn    = "value_int"
	textColumn   = "value_text"
)

// signal is one channel of a table in long layout, or one entry of the
// dictionary of signals.
type signal struct {
	id    int64
	field arrow.Field
	src   *source
	value int // positions of its columns in the table; -1 for none
	raw   int
	label int
}

// signalID is the number of a signal: the same in every recording in which table
// and column have these names.
func signalID(table, column string) int64 {
	sum := sha256.Sum256([]byte(table + "\x00" + column))
	return int64(binary.BigEndian.Uint64(sum[:8]) >> 1)
}

// signals lists the signals of a table in the order of its columns.
func (t *table) signals() []signal {
	var out []signal
	at := make(map[*source]int)
	for i, c := range t.columns {
		switch c.role {
		case roleTime, roleWall:
			continue
		case roleRaw, roleLabel:
			if k, ok := at[c.src]; ok && c.role == roleRaw {
				out[k].raw = i
			} else if ok {
				out[k].label = i
			}
			continue
		case roleValue:
			at[c.src] = len(out)
		}
		out = append(out, signal{id: signalID(t.Name, c.field.Name), field: c.field, src: c.src, value: i, raw: -1, label: -1})
	}
	return out
}

// makeLong gives the table the long layout: a row for each signal of a record.
func (t *table) makeLong() {
	t.wide = t.Schema
	for _, s := range t.signals() {
		switch s.field.Type.ID() {
		case arrow.FIXED_SIZE_LIST, arrow.BINARY:
			t.tell("not_in_long", s.src.ch.off, "column %s holds %s, for which the long layout has no place", s.field.Name, s.field.Type)
		default:
			t.long = append(t.long, s)
		}
	}
	fields := []arrow.Field{{Name: signalColumn, Type: arrow.Int64Type}}
	for _, c := range t.columns {
		if c.role == roleTime || c.role == roleWall {
			fields = append(fields, c.field)
		}
	}
	fields = append(fields,
		arrow.Field{Name: doubleColumn, Type: arrow.Float64Type, Nullable: true},
		arrow.Field{Name: intColumn, Type: arrow.Int64Type, Nullable: true},
		arrow.Field{Name: textColumn, Type: arrow.StringType, Nullable: true})
	t.Schema = arrow.NewSchema(fields, nil)
}

// longRows turns decoded rows into rows of the long layout.
type longRows struct {
	cols  []*column.Column // by the delivered columns
	names []string
	ids   []byte // of one record
	// Positions of the decoded columns of each signal, -1 for none.
	signals    []signal
	time, wall *column.Column
}

// fill makes the rows of n records.
func (l *longRows) fill(decoded []*column.Column, n int) {
	m := len(l.signals)
	for i, c := range l.cols {
		switch l.names[i] {
		case signalColumn:
			c.Grow(8 * n * m)
			for range n {
				c.Data = append(c.Data, l.ids...)
			}
			c.N += n * m
		case timeColumn:
			repeat(c, l.time, n, m)
		case nativeColumn:
			repeat(c, l.wall, n, m)
		case textColumn:
			l.texts(c, decoded, n)
		default:
			c.Grow(8 * n * m)
			c.Data = c.Data[:8*n*m]
			clear(c.Data)
			c.N = n * m
			for k, s := range l.signals {
				src := decoded[s.value]
				if l.names[i] == intColumn && s.raw >= 0 {
					src = decoded[s.raw]
				}
				l.numbers(c, src, k, n, l.names[i] == intColumn)
			}
		}
	}
}

// repeat appends each value of src m times.
func repeat(dst, src *column.Column, n, m int) {
	dst.Grow(8 * n * m)
	for i := range n {
		if !src.Valid(i) {
			dst.AppendNulls(m)
			continue
		}
		v := src.Data[8*i : 8*i+8]
		for range m {
			dst.Data = append(dst.Data, v...)
		}
		dst.N += m
	}
}

// numbers puts the values of one signal where its rows are: every m-th, from the
// k-th on. Integers are those of integer columns; floating point columns have
// none.
func (l *longRows) numbers(dst, src *column.Column, k, n int, integers bool) {
	m := len(l.signals)
	id := src.Type.ID()
	if src.Kind == column.Var || integers && (id == arrow.FLOAT64 || id == arrow.FLOAT32) {
		for i := range n {
			dst.SetNull(i*m + k)
		}
		return
	}
	if integers {
		integerFields(dst.Data[8*k:], 8*m, src, n)
	} else {
		vals := make([]float64, n)
		columnFloats(vals, src)
		at := 8 * k
		for _, v := range vals {
			binary.LittleEndian.PutUint64(dst.Data[at:], math.Float64bits(v))
			at += 8 * m
		}
	}
	for i := range n {
		if !src.Valid(i) || integers && id == arrow.UINT64 && src.Data[8*i+7]&0x80 != 0 {
			dst.SetNull(i*m + k)
		}
	}
}

// integerFields widens an integer column to 64 bits.
func integerFields(dst []byte, step int, src *column.Column, n int) {
	w := src.Width
	signed := false
	switch src.Type.ID() {
	case arrow.INT8, arrow.INT16, arrow.INT32, arrow.INT64:
		signed = true
	}
	shift := uint(64 - 8*w)
	at := 0
	for i := range n {
		v := loadLittle(src.Data[i*w:], w) << shift
		if signed {
			v = uint64(int64(v) >> shift)
		} else {
			v >>= shift
		}
		binary.LittleEndian.PutUint64(dst[at:], v)
		at += step
	}
}

// texts appends the texts of n records: those of texts and labels, and the
// digits of integers of which value_int has no room.
func (l *longRows) texts(dst *column.Column, decoded []*column.Column, n int) {
	var digits [20]byte
	for i := range n {
		for _, s := range l.signals {
			src := decoded[s.value]
			if s.label >= 0 {
				src = decoded[s.label]
			}
			switch {
			case !src.Valid(i):
				dst.AppendNull()
			case src.Kind == column.Var:
				dst.AppendBytes(src.Data[src.Offsets[i]:src.Offsets[i+1]])
			case src.Type.ID() == arrow.UINT64 && src.Data[8*i+7]&0x80 != 0:
				dst.AppendBytes(strconv.AppendUint(digits[:0], binary.LittleEndian.Uint64(src.Data[8*i:]), 10))
			default:
				dst.AppendNull()
			}
		}
	}
}

func (l *longRows) release() {
	for _, c := range l.cols {
		c.Release()
	}
}

// newLong prepares a table in long layout: all its signals are decoded where
// a column of their values is wanted.
func (b *rows) newLong(d *decoder, t *table, want map[string]bool, all bool) (decode map[string]bool) {
	l := &longRows{}
	decode = make(map[string]bool)
	for _, f := range t.Schema.Fields() {
		if !all && !want[f.Name] {
			continue
		}
		l.names = append(l.names, f.Name)
		l.cols = append(l.cols, column.New(d.mem, f.Type))
		switch f.Name {
		case signalColumn:
		case timeColumn, nativeColumn:
			decode[f.Name] = true
		default:
			for _, s := range t.long {
				for _, i := range []int{s.value, s.raw, s.label} {
					if i >= 0 {
						decode[t.columns[i].field.Name] = true
					}
				}
			}
		}
	}
	for _, s := range t.long {
		l.ids = binary.LittleEndian.AppendUint64(l.ids, uint64(s.id))
	}
	b.long = l
	return decode
}

// settle maps the signals to the columns that are decoded, by their position in
// the table.
func (l *longRows) settle(t *table, at map[int]int, clock, wall *column.Column) {
	l.time, l.wall = clock, wall
	place := func(i int) int {
		if k, ok := at[i]; ok && i >= 0 {
			return k
		}
		return -1
	}
	for _, s := range t.long {
		s.value, s.raw, s.label = place(s.value), place(s.raw), place(s.label)
		l.signals = append(l.signals, s)
	}
}

// flushLong makes batches of the rows held.
func (b *rows) flushLong() {
	l, m := b.long, len(b.long.signals)
	n := b.n
	if m > 0 {
		l.fill(b.cols, n)
	}
	for _, c := range b.cols {
		c.Reset()
	}
	arrs := make([]arrow.Array, len(l.cols))
	for i, c := range l.cols {
		arrs[i] = c.Finish()
	}
	rec := arrow.NewRecord(b.as.Schema, arrs, int64(n*m))
	for _, a := range arrs {
		a.Release()
	}
	origin := pipeline.Origin{Object: b.object, First: b.place(b.first)}
	if b.sparse || b.scale != int64(m) {
		origin.Deltas = make([]uint32, 0, n*m)
		for i := range n {
			at := uint32(i)
			if b.sparse {
				at = b.deltas[i]
			}
			for k := range m {
				origin.Deltas = append(origin.Deltas, at*uint32(b.scale)+uint32(k))
			}
		}
	}
	whole := &pipeline.Batch{Table: b.as, Record: rec, Origin: origin}
	for from := 0; from < n*m; from += b.dec.batchRows {
		part := whole.Slice(from, min(from+b.dec.batchRows, n*m))
		if part.Origin.Deltas != nil {
			rebase(&part.Origin)
		}
		b.dec.emit(part, b.from)
	}
	whole.Release()
}

// rebase makes the first delta of an origin 0.
func rebase(o *pipeline.Origin) {
	by := o.Deltas[0]
	if by == 0 {
		return
	}
	d := make([]uint32, len(o.Deltas))
	for i, v := range o.Deltas {
		d[i] = v - by
	}
	o.First, o.Deltas = o.First+int64(by), d
}
