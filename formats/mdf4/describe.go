package mdf4

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// Describe reads the metadata. The times of sorted groups are those of their
// first and last record; unsorted groups, and those of a file without counters,
// are scanned.
func (f *Format) Describe(ctx context.Context, src pipeline.Source) (*pipeline.Description, error) {
	file, err := readFile(ctx, src, f.Limits)
	if err != nil {
		return nil, f.fail(src, err)
	}
	ix := &index{file: file, anchor: file.anchor(f.Zone)}
	if ix.tables, err = file.tables(ctx, ix.anchor, f.isLong); err != nil {
		return nil, f.fail(src, err)
	}
	d := &pipeline.Description{
		Format: Name, Version: file.id.versionText(), Writer: file.id.program, Indexed: file.id.finalised,
		Details: append(file.sourceDetails(), file.details...), Problems: file.problems, Index: ix,
	}
	for _, p := range file.hd.properties {
		if d.Attributes == nil {
			d.Attributes = make(map[string]string)
		}
		d.Attributes[attributeName(p.name)] = p.value
	}
	if !file.id.finalised {
		d.Profile = fmt.Sprintf("unfinalised, flags %#x", file.id.flags)
		d.Problems = append(d.Problems, pipeline.Problem{Kind: "unfinalised", Offset: 0,
			Detail: fmt.Sprintf("the recorder did not finish the file (flags %#x): counters and lengths are found from the data", file.id.flags)})
		if file.id.custom != 0 {
			d.Problems = append(d.Problems, pipeline.Problem{Kind: "unfinalised", Offset: 0,
				Detail: fmt.Sprintf("the file is also unfinalised in a way that only its recorder knows (flags %#x)", file.id.custom)})
		}
	}
	if file.hd.local && !ix.anchor.utc {
		d.Problems = append(d.Problems, pipeline.Problem{Kind: "no_time_zone", Offset: -1,
			Detail: "the recording starts at a local time of an unknown zone, so that its rows have no absolute time; the setting time_zone tells it"})
	}
	for i, a := range file.attachments {
		d.Attachments = append(d.Attachments, file.describeAttachment(i, a))
	}
	for _, t := range ix.tables {
		d.Problems = append(d.Problems, t.problem...)
		d.Tables = append(d.Tables, t.info())
	}
	if err := f.measure(ctx, ix, d); err != nil {
		return nil, f.fail(src, err)
	}
	if d.Compression, err = file.compression(ctx); err != nil {
		return nil, f.fail(src, err)
	}
	if f.Signals || slices.ContainsFunc(ix.tables, func(t *table) bool { return t.wide != nil }) {
		rates := make(map[string]float64)
		for i, t := range ix.tables {
			info := d.Tables[i]
			if rows := info.Rows / int64(max(1, len(t.long))); info.HasTime && info.End > info.Start && rows > 1 {
				rates[t.Name] = float64(rows-1) / (float64(info.End-info.Start) / 1e9)
			}
		}
		ix.dict = newDictionary(file, ix.tables, rates)
		d.Tables = append(d.Tables, ix.dict.info())
	}
	file.pages = newPages(src)
	return d, nil
}

// attributeName spells the name of a property of the header as attributes are
// called: lower case, with underscores.
func attributeName(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToLower(s))
}

// info describes a table as its group claims.
func (t *table) info() pipeline.TableInfo {
	i := pipeline.TableInfo{Table: t.Table, Rows: t.rows, Bytes: -1, Encoding: "mdf4"}
	if t.frame != nil {
		i.Encoding, i.SchemaName = t.frame.bus, t.frame.channel.name
	}
	size := int64(0)
	for _, p := range t.parts {
		size += int64(p.stride)
	}
	if t.rows >= 0 && size > 0 && t.rows < 1<<62/size {
		i.Bytes = t.rows * size
	}
	if t.wide != nil && t.rows >= 0 {
		i.Rows = longTotal(t.rows, int64(len(t.long)))
	}
	return i
}

// sourceDetails lists the sources of all groups, each once.
func (f *file) sourceDetails() []pipeline.Detail {
	var out []pipeline.Detail
	seen := make(map[*sourceInfo]bool)
	for _, dg := range f.groups {
		for _, g := range dg.groups {
			s := g.source
			if s == nil || seen[s] {
				continue
			}
			seen[s] = true
			d := detail("source", s.name, "path", s.path, "type", pick(sourceTypes, s.kind), "bus", pick(busTypes, s.bus), "comment", s.comment)
			if s.simulated {
				d.Fields = append(d.Fields, pipeline.DetailField{Name: "simulated", Value: "true"})
			}
			out = append(out, d)
		}
	}
	return out
}

var sourceTypes = []string{"other", "ECU", "bus", "I/O", "tool", "user"}
var busTypes = []string{"", "other", "CAN", "LIN", "MOST", "FlexRay", "K-Line", "Ethernet", "USB"}

// measure finds row counts and times, as far as the metadata do not tell.
func (f *Format) measure(ctx context.Context, ix *index, d *pipeline.Description) error {
	at := make(map[string]int)
	for i := range d.Tables {
		at[d.Tables[i].Table.Name] = i
	}
	scan := pipeline.Selection{Tables: []pipeline.TableSelection{}}
	for _, t := range ix.tables {
		info := &d.Tables[at[t.Name]]
		timed := t.master != nil && ix.anchor.utc && t.rows != 0
		if timed && len(t.g.dg.groups) == 1 && t.rows > 0 {
			start, end, ok, err := t.span(ctx, ix.anchor)
			if err != nil {
				return err
			}
			if ok {
				info.Start, info.End, info.HasTime = start, end, true
				continue
			}
		}
		if !timed && t.rows >= 0 {
			continue
		}
		s := pipeline.TableSelection{Table: t.Table, Columns: []string{}}
		if timed {
			s.Columns = append(s.Columns, timeColumn)
		}
		scan.Tables = append(scan.Tables, s)
	}
	if len(scan.Tables) > 0 {
		pipeline.NoteScan(ctx, ix.file.src.Object())
		if err := f.scan(ctx, ix, scan, d, at); err != nil {
			return err
		}
	}
	for _, info := range d.Tables {
		if !info.HasTime {
			continue
		}
		if !d.HasTime {
			d.Start, d.End, d.HasTime = info.Start, info.End, true
		}
		d.Start, d.End = min(d.Start, info.Start), max(d.End, info.End)
	}
	return nil
}

// scan decodes the times of the tables selected.
func (f *Format) scan(ctx context.Context, ix *index, sel pipeline.Selection, d *pipeline.Description, at map[string]int) error {
	dec, err := f.newDecoder(ctx, ix, ix.file.src.Object().URI, sel, pipeline.DecodeOptions{})
	if err != nil {
		return err
	}
	defer dec.Close()
	for {
		e, err := dec.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if e.Batch.Record.NumCols() > 0 {
			info := &d.Tables[at[e.Batch.Table.Name]]
			ts := e.Batch.Record.Column(0).(*arrow.Timestamp)
			for i := range ts.Len() {
				if ts.IsNull(i) {
					continue
				}
				v := int64(ts.Value(i))
				if !info.HasTime {
					info.Start, info.End, info.HasTime = v, v, true
				}
				info.Start, info.End = min(info.Start, v), max(info.End, v)
			}
		}
		e.Batch.Release()
	}
	for _, c := range dec.Counts() {
		if info := &d.Tables[at[c.Table]]; info.Rows < 0 {
			info.Rows, info.Bytes = c.Found, c.Bytes
		}
	}
	return nil
}

// span decodes the times of the first and the last record of a sorted group.
// ok is false where the last one cannot be found without reading all.
func (t *table) span(ctx context.Context, a anchor) (start, end int64, ok bool, err error) {
	src := t.master
	p := t.parts[src.part]
	o := newOp(src, arrow.NewGoAllocator(), 0)
	defer o.release()
	timeOf := func(row int64, b []byte) (int64, bool) {
		r := run{data: make([][]byte, len(t.parts)), step: make([]int, len(t.parts)), n: 1, index: row}
		if p.stride > 0 {
			r.data[src.part], r.step[src.part] = b[p.skip:], p.stride
		}
		return addSeconds(a.start, o.floats(&r)[0])
	}
	if p.stride == 0 || src.kind == kindVirtual {
		s, ok1 := timeOf(0, make([]byte, p.stride))
		e, ok2 := timeOf(t.rows-1, make([]byte, p.stride))
		return min(s, e), max(s, e), ok1 && ok2, nil
	}
	head, tail, at, err := t.f.ends(ctx, p, t.rows)
	if err != nil || head == nil || tail == nil {
		return 0, 0, false, err
	}
	s, ok1 := timeOf(0, head)
	e, ok2 := timeOf(at, tail)
	return min(s, e), max(s, e), ok1 && ok2, nil
}

// ends reads the first and the last record of a part. Of lists, the blocks in
// between are passed without being looked at; nil records are not to be had
// that way.
func (f *file) ends(ctx context.Context, p part, rows int64) (head, tail []byte, last int64, err error) {
	seg := f.newSegments(f.pages, p.g.dg.data)
	seg.width = p.g.data
	var un unpacker
	defer un.close()
	size := int64(p.stride)
	var start int64 // of the block at hand
	for first := true; ; first = false {
		s, err := seg.read(ctx)
		if errors.Is(err, io.EOF) {
			return head, tail, last, nil
		}
		if err != nil {
			return nil, nil, 0, err
		}
		if s.bad != nil || s.zero {
			return nil, nil, 0, nil
		}
		// The last whole record that begins in this block, or ends the group.
		at := min((start+s.raw)/size, rows) - 1
		more := len(seg.queue) > 0 || seg.next != 0
		want := !more || at+1 >= rows
		if first && s.raw < size || want && at*size < start {
			return nil, nil, 0, nil // or the list tells lengths that are not so
		}
		if first || want {
			read := func(off int64) ([]byte, error) {
				if s.zip == plain {
					b, err := seg.in.at(ctx, s.off+off, size)
					return append([]byte(nil), b...), err
				}
				return nil, nil
			}
			if s.zip == plain {
				if first {
					if head, err = read(0); err != nil {
						return nil, nil, 0, err
					}
				}
				if want && at >= 0 {
					if tail, err = read(at*size - start); err != nil {
						return nil, nil, 0, err
					}
				}
			} else {
				b, err := seg.in.at(ctx, s.off, s.stored)
				if err != nil {
					return nil, nil, 0, err
				}
				raw, err := un.unpack(nil, b, s.raw, s.zip, s.param)
				if err != nil {
					return nil, nil, 0, nil // the decoder tells of it
				}
				if first {
					head = raw[:size]
				}
				if want && at >= 0 {
					tail = raw[at*size-start:][:size]
				}
			}
		}
		if want {
			return head, tail, at, nil
		}
		start += s.raw
		start += seg.passTo()
	}
}

// passTo skips the blocks of a list whose sizes the list tells, up to the last,
// and returns how many bytes of the stream they hold.
func (s *segments) passTo() int64 {
	var n int64
	if s.next != 0 {
		return 0
	}
	for len(s.queue) > 1 && s.queue[0].raw > 0 {
		n += s.queue[0].raw
		s.queue = s.queue[1:]
	}
	return n
}

// describeAttachment is an attachment as people see it.
func (f *file) describeAttachment(i int, a attachment) pipeline.Attachment {
	out := pipeline.Attachment{Name: a.name, MediaType: a.mime, Size: a.original, Offset: a.data}
	if out.Name == "" {
		out.Name = "attachment " + strconv.Itoa(i+1)
	}
	if a.flags&atEmbedded == 0 {
		out.Offset, out.External = -1, a.name
		if a.original == 0 {
			out.Size = -1
		}
	}
	return out
}
