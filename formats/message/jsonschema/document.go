package jsonschema

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/drivemill/drivemill/pipeline"
)

// doc is a JSON value that keeps the order of members.
type doc struct {
	keys    []string
	members map[string]*doc // of an object, not nil
	items   []*doc          // of an array, not nil
	scalar  any             // string, json.Number, bool, nil
}

func readDoc(data []byte) (*doc, error) {
	if len(data) > maxText {
		return nil, fmt.Errorf("schema of %d bytes, at most %d are read: %w", len(data), maxText, pipeline.ErrLimit)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	v, err := readValue(d, 0)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("text behind the schema: %w", pipeline.ErrCorrupt)
	}
	return v, nil
}

func readValue(d *json.Decoder, depth int) (*doc, error) {
	if depth > MaxDepth {
		return nil, fmt.Errorf("schema nests deeper than %d: %w", MaxDepth, pipeline.ErrLimit)
	}
	tok, err := d.Token()
	if err != nil {
		return nil, fmt.Errorf("schema is not JSON: %w: %w", err, pipeline.ErrCorrupt)
	}
	v := &doc{}
	switch tok {
	case json.Delim('{'):
		v.members = make(map[string]*doc)
		for d.More() {
			key, err := d.Token()
			if err != nil {
				return nil, fmt.Errorf("schema is not JSON: %w: %w", err, pipeline.ErrCorrupt)
			}
			m, err := readValue(d, depth+1)
			if err != nil {
				return nil, err
			}
			k := key.(string)
			if v.members[k] == nil {
				v.keys = append(v.keys, k)
			}
			v.members[k] = m
		}
	case json.Delim('['):
		v.items = []*doc{}
		for d.More() {
			m, err := readValue(d, depth+1)
			if err != nil {
				return nil, err
			}
			v.items = append(v.items, m)
		}
	default:
		v.scalar = tok
		return v, nil
	}
	if _, err := d.Token(); err != nil {
		return nil, fmt.Errorf("schema is not JSON: %w: %w", err, pipeline.ErrCorrupt)
	}
	return v, nil
}

// get returns a member of an object, nil where there is none.
func (v *doc) get(key string) *doc {
	if v == nil {
		return nil
	}
	return v.members[key]
}

func (v *doc) text() string {
	if v == nil {
		return ""
	}
	s, _ := v.scalar.(string)
	return s
}

// number returns a number; ok is false where the value is none.
func (v *doc) number() (x float64, ok bool) {
	if v == nil {
		return 0, false
	}
	n, ok := v.scalar.(json.Number)
	if !ok {
		return 0, false
	}
	x, err := n.Float64()
	return x, err == nil
}

// pointer follows a JSON Pointer (RFC 6901) in a fragment; nil where it leads
// nowhere.
func (v *doc) pointer(ref string) *doc {
	path, ok := strings.CutPrefix(ref, "#")
	if !ok {
		return nil
	}
	if path == "" {
		return v
	}
	for _, part := range strings.Split(path, "/")[1:] {
		part = strings.ReplaceAll(strings.ReplaceAll(strings.ReplaceAll(part, "%25", "%"), "~1", "/"), "~0", "~")
		switch {
		case v.members != nil:
			v = v.members[part]
		case v.items != nil:
			i, err := strconv.Atoi(part)
			if err != nil || i < 0 || i >= len(v.items) {
				return nil
			}
			v = v.items[i]
		default:
			return nil
		}
		if v == nil {
			return nil
		}
	}
	return v
}
