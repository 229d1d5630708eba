package explore

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// referable asks for references to the large payloads among the columns of a
// table: thousands of images are not for reading. Columns in looked are wanted
// with their bytes by a filter.
func referable(t *pipeline.Table, columns []string, looked map[string]bool) []pipeline.PayloadSelection {
	var out []pipeline.PayloadSelection
	for _, name := range columns {
		f := t.Schema.Field(t.Column(name))
		if f.Type.ID() != arrow.BINARY || f.Metadata.FindKey(pipeline.MetaPayload) < 0 {
			continue
		}
		taken := slices.ContainsFunc(pipeline.PayloadFields(name, pipeline.ReferPayloads), func(b arrow.Field) bool { return t.Column(b.Name) >= 0 })
		if !taken {
			out = append(out, pipeline.PayloadSelection{Column: name, Policy: pipeline.ReferPayloads, Above: pipeline.DefaultPayloadBytes, Bytes: looked[name]})
		}
	}
	return out
}

// markReferred marks a field of a decoded table that has its references beside
// it, as they are marked when they flow.
func markReferred(f arrow.Field, decoded *pipeline.Table) (arrow.Field, []arrow.Field) {
	if f.Type.ID() != arrow.BINARY || decoded.Column(f.Name+pipeline.PayloadURI) < 0 {
		return f, nil
	}
	f.Metadata = pipeline.FieldMeta(pipeline.MetaPayload, pipeline.PayloadMark(pipeline.ReferPayloads, pipeline.DefaultPayloadBytes))
	return f, pipeline.PayloadFields(f.Name, pipeline.ReferPayloads)
}

// shownColumns are the columns that get a place of their own: not those beside
// a payload, which are printed in its place.
func shownColumns(s *arrow.Schema) []string {
	beside := make(map[string]bool)
	for i, f := range s.Fields() {
		if policy, _, ok := pipeline.PayloadOf(s, i); ok {
			for _, b := range pipeline.PayloadFields(f.Name, policy) {
				beside[b.Name] = true
			}
		}
	}
	var out []string
	for _, f := range s.Fields() {
		if !beside[f.Name] {
			out = append(out, f.Name)
		}
	}
	return out
}

// columnWriter compiles the writer of a column. A payload that is referred to
// is written as its reference: uris, where not nil, tells these.
func columnWriter(b *pipeline.Batch, name string) (w cellWriter, uris arrow.Array, err error) {
	at := b.Record.Schema().FieldIndices(name)[0]
	inline, err := newCellWriter(b.Record.Column(at))
	if err != nil {
		return nil, nil, fmt.Errorf("table %s: column %s: %w", b.Table.Name, name, err)
	}
	if _, _, ok := pipeline.PayloadOf(b.Record.Schema(), at); !ok {
		return inline, nil, nil
	}
	column := func(suffix string) arrow.Array {
		return b.Record.Column(b.Record.Schema().FieldIndices(name + suffix)[0])
	}
	uri, okURI := column(pipeline.PayloadURI).(*arrow.String)
	sum, okSum := column(pipeline.PayloadSHA256).(*arrow.String)
	offset, okOffset := column(pipeline.PayloadOffset).(*arrow.Int64)
	inner, okInner := column(pipeline.PayloadInner).(*arrow.Int64)
	size, okSize := column(pipeline.PayloadSize).(*arrow.Int64)
	if !okURI || !okSum || !okOffset || !okInner || !okSize {
		return nil, nil, fmt.Errorf("table %s: the columns beside %s are of other types than a reference has: %w", b.Table.Name, name, pipeline.ErrSchema)
	}
	return func(dst []byte, i int) []byte {
		if uri.IsNull(i) {
			return inline(dst, i)
		}
		dst = appendString(append(dst, `{"uri":`...), uri.Value(i))
		dst = strconv.AppendInt(append(dst, `,"offset":`...), offset.Value(i), 10)
		if !inner.IsNull(i) {
			dst = strconv.AppendInt(append(dst, `,"inner_offset":`...), inner.Value(i), 10)
		}
		dst = strconv.AppendInt(append(dst, `,"size":`...), size.Value(i), 10)
		return append(appendString(append(dst, `,"sha256":`...), sum.Value(i)), '}')
	}, uri, nil
}

// Payload returns the bytes that a reference means. src is the object of its
// URI; format may be empty.
func Payload(ctx context.Context, reg *pipeline.Registry, src pipeline.Source, format string, p pipeline.Payload) ([]byte, error) {
	spec, err := formatOf(ctx, reg, src, format)
	if err != nil {
		return nil, err
	}
	return pipeline.ReadPayload(ctx, spec.Format, src, p)
}
