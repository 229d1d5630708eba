package mdf4

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/drivemill/drivemill/pipeline"
)

// property is one entry of the common properties of an XML comment.
type property struct{ name, value string }

// text reads the TX or MD block at off as plain text; 0 gives the empty text.
// A link that leads nowhere is a problem of the file and gives the empty text.
func (f *file) text(ctx context.Context, off int64) (string, error) {
	if off == 0 {
		return "", nil
	}
	if s, ok := f.texts[off]; ok {
		f.cut = f.cut || f.damaged[off]
		return s, nil
	}
	b, err := f.load(ctx, off, f.lim.Text, "TX", "MD")
	if err != nil {
		if fatal(err) || errors.Is(err, pipeline.ErrLimit) {
			return "", err
		}
		f.missing(off, err, "a text cannot be read: %v", err)
		f.texts[off] = ""
		return "", nil
	}
	s := blockText(b)
	if b.id == "MD" {
		s, _ = parseComment(s)
	}
	f.texts[off] = s
	return s, nil
}

// comment reads the comment at off with its common properties.
func (f *file) comment(ctx context.Context, off int64) (string, []property, error) {
	if off == 0 {
		return "", nil, nil
	}
	b, err := f.load(ctx, off, f.lim.Text, "TX", "MD")
	if err != nil {
		if fatal(err) || errors.Is(err, pipeline.ErrLimit) {
			return "", nil, err
		}
		f.missing(off, err, "a comment cannot be read: %v", err)
		return "", nil, nil
	}
	if b.id == "TX" {
		return blockText(b), nil, nil
	}
	s, props := parseComment(blockText(b))
	return s, props, nil
}

// blockText is the content of a text block up to the first NUL, which may be
// missing.
func blockText(b *block) string {
	d := b.data
	if i := bytes.IndexByte(d, 0); i >= 0 {
		d = d[:i]
	}
	return decodeText(d)
}

// decodeText makes UTF-8 of b. Text that is not UTF-8, against the standard,
// is taken as ISO 8859-1, in which all bytes are characters.
func decodeText(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	return string(appendLatin1(nil, b))
}

// appendLatin1 transcodes ISO 8859-1.
func appendLatin1(dst, b []byte) []byte {
	for _, c := range b {
		dst = utf8.AppendRune(dst, rune(c))
	}
	return dst
}

// parseComment takes the plain text (element TX) and the common properties out
// of an XML comment. What is no XML is plain text itself.
func parseComment(s string) (string, []property) {
	if !strings.Contains(s, "<") {
		return s, nil
	}
	dec := xml.NewDecoder(strings.NewReader(s))
	dec.Strict = false
	dec.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil }
	var text, value strings.Builder
	var props []property
	var name string
	inText, inProp, depth := false, false, 0
	for {
		tok, err := dec.Token()
		if err != nil {
			if depth == 0 && text.Len() == 0 && props == nil && !errors.Is(err, io.EOF) {
				return s, nil
			}
			break
		}
		switch t := tok.(type) {
		case xml.StartElement:
			depth++
			switch t.Name.Local {
			case "TX":
				inText = true
			case "e":
				inProp, name = true, ""
				value.Reset()
				for _, a := range t.Attr {
					if a.Name.Local == "name" {
						name = a.Value
					}
				}
			}
		case xml.EndElement:
			depth--
			switch t.Name.Local {
			case "TX":
				inText = false
			case "e":
				if inProp && name != "" {
					props = append(props, property{name, strings.TrimSpace(value.String())})
				}
				inProp = false
			}
		case xml.CharData:
			if inText {
				text.Write(t)
			} else if inProp {
				value.Write(t)
			}
		}
	}
	return strings.TrimSpace(text.String()), props
}
