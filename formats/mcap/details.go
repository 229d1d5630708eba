package mcap

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"

	"github.com/drivemill/drivemill/pipeline"
)

// Bounds of what Describe reads of metadata records that it does not need
// itself; further ones are told by name.
const (
	maxDetails     = 64
	maxDetailBytes = 256 << 10
	// detailGap is how far apart records may lie to be read at once.
	detailGap = 64 << 10
)

var _ pipeline.Extractor = (*Format)(nil)

// OpenAttachment implements pipeline.Extractor. A wrong checksum is an error
// at the end of the data.
func (f *Format) OpenAttachment(ctx context.Context, src pipeline.Source, d *pipeline.Description, i int) (io.ReadCloser, error) {
	ix, ok := d.Index.(*index)
	if !ok || i < 0 || i >= len(ix.info.Attachments) {
		return nil, f.fail(src, pipeline.ErrNotFound)
	}
	x := ix.info.Attachments[i]
	a, err := OpenAttachment(ctx, src, x, f.Limits)
	if err != nil {
		return nil, f.failAt(src, int64(x.Offset), err)
	}
	return &extracted{a, func(err error) error { return f.failAt(src, int64(x.Offset), err) }}, nil
}

// extracted is an attachment whose errors say where it lies.
type extracted struct {
	*AttachmentReader
	fail func(error) error
}

func (e *extracted) Read(p []byte) (int, error) {
	n, err := e.AttachmentReader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = e.fail(err)
	}
	return n, err
}

func (f *Format) failAt(src pipeline.Source, off int64, err error) error {
	if ctxErr(err) {
		return err
	}
	return &pipeline.DecodeError{Object: src.Object().URI, Format: Name, Offset: off, Record: -1, Err: err}
}

// attachments lists the attachments in the order of the file.
func (x *describer) attachments() {
	for _, a := range x.in.Attachments {
		out := pipeline.Attachment{Name: a.Name, MediaType: a.MediaType, Size: clampTime(a.DataSize), Offset: clampTime(a.Offset)}
		if t := clampTime(a.LogTime); uint64(t) == a.LogTime && t > 0 {
			out.Time, out.HasTime = t, true
		}
		x.d.Attachments = append(x.d.Attachments, out)
	}
}

// metadata reads metadata records: those that give attributes, and of the
// others as many as are worth showing. The others cost a request at most where
// they lie near each other, as they do where a writer adds them at the end,
// and none within the tail that was read anyway.
func (x *describer) metadata(ctx context.Context, src pipeline.Source) error {
	budget := int64(maxDetailBytes)
	var at int64 // of window
	var window []byte
	for i, m := range x.in.Metadata {
		shown := i < maxDetails && int64(min(m.Length, maxDetailBytes)) <= budget
		if !shown && !x.f.tellsAttributes(m.Name) {
			x.d.Details = append(x.d.Details, pipeline.Detail{Kind: "metadata", Name: m.Name})
			continue
		}
		budget -= int64(min(m.Length, maxDetailBytes))
		b := within(x.in.tail, x.in.tailAt, m)
		if b == nil {
			b = within(window, at, m)
		}
		if b == nil && m.Length <= maxDetailBytes {
			at = clampTime(m.Offset)
			n := x.reach(i, src.Object().Size)
			if window = nil; n > 0 {
				window = make([]byte, n)
				if err := readFull(ctx, src, window, at); err != nil {
					return err
				}
			}
			b = within(window, at, m)
		}
		md, err := x.record(ctx, src, m, b)
		if errors.Is(err, pipeline.ErrCorrupt) || errors.Is(err, pipeline.ErrTruncated) || errors.Is(err, pipeline.ErrLimit) {
			x.problem("bad_record", "", "%v", err)
			continue
		}
		if err != nil {
			return err
		}
		detail := pipeline.Detail{Kind: "metadata", Name: m.Name}
		for _, k := range slices.Sorted(maps.Keys(md.Values)) {
			detail.Fields = append(detail.Fields, pipeline.DetailField{Name: k, Value: md.Values[k]})
		}
		x.d.Details = append(x.d.Details, detail)
		x.attributes(md)
	}
	x.in.tail = nil
	return nil
}

// within returns the bytes of a record that lies in b, which begins at offset at.
func within(b []byte, at int64, m MetadataIndex) []byte {
	from := clampTime(m.Offset) - at
	if from < 0 || from > int64(len(b)) || m.Length > uint64(int64(len(b))-from) {
		return nil
	}
	return b[from : from+int64(m.Length)]
}

// reach returns how many bytes to read from record i on, so that those that
// lie close behind it are read as well. 0: it lies outside the file.
func (x *describer) reach(i int, size int64) int64 {
	at := clampTime(x.in.Metadata[i].Offset)
	end := at
	for k := i; k < min(len(x.in.Metadata), maxDetails); k++ {
		m := x.in.Metadata[k]
		from := clampTime(m.Offset)
		if m.Length > maxDetailBytes || from < at || from > end+detailGap || from > size-int64(m.Length) || from+int64(m.Length)-at > maxDetailBytes {
			break
		}
		end = max(end, from+int64(m.Length))
	}
	return end - at
}

// record parses a metadata record, which b holds unless it is nil.
func (x *describer) record(ctx context.Context, src pipeline.Source, m MetadataIndex, b []byte) (Metadata, error) {
	if b == nil {
		return ReadMetadata(ctx, src, m, x.f.Limits)
	}
	return parseMetadataRecord(m, b)
}

// attributes takes up the attributes that a metadata record tells.
func (x *describer) attributes(md Metadata) {
	if md.Name == attributesName {
		for _, k := range attributeKeys {
			x.attribute(k, k, md)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(x.f.attributes)) {
		if p := x.f.attributes[name]; p.record == md.Name {
			x.attribute(name, p.key, md)
		}
	}
}

// attribute sets the attribute called name to the value of a key, if there is one.
func (x *describer) attribute(name, key string, md Metadata) {
	v, ok := md.Values[key]
	old, had := x.d.Attributes[name]
	switch {
	case !ok:
	case had && old != v:
		x.problem("attribute_conflict", "", "%s is %q and later %q", name, old, v)
	default:
		if x.d.Attributes == nil {
			x.d.Attributes = make(map[string]string)
		}
		x.d.Attributes[name] = v
	}
}
