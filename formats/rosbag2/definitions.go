package rosbag2

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/formats/message/rosmsg"
	"github.com/drivemill/drivemill/pipeline"
)

// Bounds on a folder of definitions.
const (
	maxDefinitionFiles = 20_000
	maxDefinitionFile  = 1 << 20
)

// loadDefinitions reads a folder of definitions. While nothing may be read, the
// error wraps pipeline.ErrNotLoaded.
func loadDefinitions(ctx context.Context, env pipeline.Env, folder pipeline.Text) (*rosmsg.Library, error) {
	st, err := env.OpenStore(ctx, folder.Value)
	if err != nil {
		return nil, err
	}
	var files []pipeline.Object
	err = st.List(ctx, "", func(o pipeline.Object) error {
		if !rosmsg.IsDefinition(o.Key) {
			return nil
		}
		if o.Size > maxDefinitionFile || len(files) == maxDefinitionFiles {
			return fmt.Errorf("%s: %d bytes, file %d of the folder: %w", o.URI, o.Size, len(files)+1, pipeline.ErrLimit)
		}
		files = append(files, o)
		return nil
	})
	if err != nil {
		return nil, err
	}
	lib := &rosmsg.Library{}
	for _, o := range files {
		at := folder
		at.Value = strings.TrimRight(folder.Value, "/") + "/" + o.Key
		file, err := env.LoadFile(ctx, at)
		if err == nil {
			err = lib.Add(path.Base(strings.TrimRight(folder.Value, "/")), o.Key, file.Data)
		}
		if err != nil {
			return nil, err
		}
	}
	if lib.Len() == 0 {
		return nil, fmt.Errorf("no .msg, .srv, .action or .idl file lies in %s: %w", folder.Value, pipeline.ErrNotFound)
	}
	return lib, nil
}

// definition is what a recording tells of a message type.
type definition struct {
	typ      string // pkg/msg/Type
	format   string // of the messages: cdr
	encoding string // of text: ros2msg, ros2idl; empty: there is none
	text     string
}

func (d *definition) hash() string {
	h := sha256.New()
	for _, part := range []string{d.format, d.typ, d.encoding, d.text} {
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// resolver finds the layouts of message types, each once.
type resolver struct {
	f        *Format
	builtin  *rosmsg.Library
	release  string // of builtin
	known    map[definition]*resolved
	used     map[string][]string // types by where their definition is from
	assuming bool                // the recording names no known distribution
}

// resolved is the layout of a type, or why there is none.
type resolved struct {
	layout message.Layout
	source string // recording, supplied, built-in humble
	kind   string // of problem
	detail string
}

// Sources of definitions that are not in the recording.
const (
	fromRecording = "recording"
	fromSupplied  = "supplied"
)

func newResolver(f *Format, distro string) *resolver {
	r := &resolver{f: f, known: make(map[definition]*resolved), used: make(map[string][]string)}
	r.builtin, r.release = rosmsg.Builtins(strings.ToLower(distro))
	r.assuming = r.release != strings.ToLower(distro)
	return r
}

// layout returns the layout of a type: by the definition in the recording,
// else by the one supplied, else by the one built in.
func (r *resolver) layout(d definition) *resolved {
	if x := r.known[d]; x != nil {
		return x
	}
	x := &resolved{}
	r.known[d] = x
	enc := r.f.encodings[d.format]
	if enc == nil {
		x.kind, x.detail = "raw_encoding", fmt.Sprintf("serialization format %q is kept as bytes", d.format)
		return x
	}
	if d.encoding != "" {
		l, err := enc.Parse(message.Schema{Name: d.typ, Encoding: d.encoding, Data: []byte(d.text)})
		if err == nil {
			x.layout, x.source = l, fromRecording
			return x
		}
		x.kind, x.detail = "bad_schema", fmt.Sprintf("%s: %v", d.typ, err)
	}
	encoding, text, err := r.f.supplied.Over(r.builtin).Definition(d.typ)
	if errors.Is(err, pipeline.ErrNotFound) {
		if x.kind == "" {
			x.kind, x.detail = "no_schema", fmt.Sprintf("the recording holds no definition of %s; set definitions to a folder that does", d.typ)
		}
		return x
	}
	if err == nil {
		x.layout, err = enc.Parse(message.Schema{Name: d.typ, Encoding: encoding, Data: text})
	}
	x.source = "built-in " + r.release
	if _, _, e := r.f.supplied.Definition(d.typ); e == nil {
		x.source = fromSupplied
	}
	if err != nil {
		x.layout = nil
		x.kind, x.detail = "bad_schema", fmt.Sprintf("%s, %s: %v", d.typ, x.source, err)
		return x
	}
	r.used[x.source] = append(r.used[x.source], d.typ)
	return x
}

// details tell which definitions are not those of the recording.
func (r *resolver) details() []pipeline.Detail {
	var out []pipeline.Detail
	for source, types := range r.used {
		slices.Sort(types)
		d := pipeline.Detail{Kind: "definitions", Name: source}
		for _, t := range slices.Compact(types) {
			d.Fields = append(d.Fields, pipeline.DetailField{Name: "type", Value: t})
		}
		out = append(out, d)
	}
	slices.SortFunc(out, func(a, b pipeline.Detail) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// assumed reports whether built-in definitions were used without knowing of
// which distribution they should be.
func (r *resolver) assumed() bool {
	return r.assuming && len(r.used["built-in "+r.release]) > 0
}
