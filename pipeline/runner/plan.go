package runner

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/config"
	"github.com/drivemill/drivemill/pipeline/graph"
	"github.com/drivemill/drivemill/pipeline/lineage"
	"github.com/drivemill/drivemill/pipeline/recording"
	"github.com/drivemill/drivemill/pipeline/store"
)

// Recording is a recording that an input's pattern matched.
type Recording struct {
	*recording.Recording
	Input      *config.Input
	Attributes map[string]string // captures and constants
	// Of a file of a lake: the table it is a part of, and what tells its content
	// wherever it lies.
	table, content string
}

// Unit is the atom of work, retry and commit: one recording, or all
// recordings of a group.
type Unit struct {
	// Name is the logical input, as a person would name it.
	Name string
	// Slot is what the unit is about: a hash of the pipeline's name and of
	// where the recording lies or what the group has in common. It does not
	// change when the bytes or the pipeline do.
	Slot string
	// Revision is what result it should have: a hash of the identity of its
	// inputs and of the pipeline.
	Revision   string
	Recordings []*Recording // in order of input, then key
	// Slice is the part of the only recording that the unit is about; nil: all.
	Slice *Slice
}

// Bytes returns the size of all recordings.
func (u *Unit) Bytes() int64 {
	var n int64
	for _, r := range u.Recordings {
		n += r.Bytes()
	}
	if u.Slice != nil {
		n /= int64(u.Slice.Of) // about: it was cut into even parts
	}
	return n
}

// hash returns the first n hex digits of the SHA-256 of the parts, each of
// which is delimited.
func hash(n int, parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return hex.EncodeToString(h.Sum(nil))[:n]
}

// Lengths of the hashes in file names: 64 bits tell slots apart, 48 bits the
// revisions of one slot.
const (
	slotDigits     = 16
	revisionDigits = 12
)

// plan lists the inputs and makes units of what it finds.
func (r *Runner) plan(ctx context.Context) ([]*Unit, error) {
	p := r.Graph.Pipeline
	joined := len(p.Inputs) > 1 && sameGroups(p.Inputs)
	if p.Step != "" && len(p.Inputs) > 1 && !joined && slices.ContainsFunc(p.Inputs, func(in *config.Input) bool { return len(in.Group) > 0 }) {
		return nil, &pipeline.Issue{Pos: p.Inputs[0].Pos, Path: p.Inputs[0].Path, Message: "the inputs of a step are grouped alike, or not at all"}
	}
	units := make(map[string]*Unit)
	for _, in := range p.Inputs {
		found, err := r.find(ctx, in)
		if err != nil {
			return nil, err
		}
		if len(found) == 0 && in.Output == "" {
			return nil, fmt.Errorf("input %s: nothing matches %s: %w", in.Name, in.URI.Value, pipeline.ErrNotFound)
		}
		for _, rec := range found {
			name, key, err := logicalInput(in, rec, joined)
			if err != nil {
				return nil, err
			}
			u := units[key]
			if u == nil {
				u = &Unit{Name: name, Slot: hash(slotDigits, p.Name, key)}
				units[key] = u
			}
			u.Recordings = append(u.Recordings, rec)
		}
	}
	out := make([]*Unit, 0, len(units))
	plan := r.Graph.PlanFingerprint()
	for _, u := range units {
		u.Revision = hash(revisionDigits, u.identity(), plan)
		out = append(out, u)
	}
	out, err := r.cutUnits(ctx, out)
	if err != nil {
		return nil, err
	}
	sort.Slice(out, func(i, j int) bool {
		return out[i].Name < out[j].Name || out[i].Name == out[j].Name && out[i].Slot < out[j].Slot
	})
	return out, nil
}

// identity says which bytes a unit is made of, and which attributes it has.
func (u *Unit) identity() string {
	var b strings.Builder
	for _, r := range u.Recordings {
		if r.content != "" {
			fmt.Fprintf(&b, "%s\x00%s\x00", r.Input.Name, r.content)
			continue
		}
		for _, o := range r.Objects {
			fmt.Fprintf(&b, "%s\x00%d\x00%s\x00", r.Input.Name, o.Size, o.ETag)
		}
		for _, k := range slices.Sorted(maps.Keys(r.Attributes)) {
			fmt.Fprintf(&b, "%s=%s\x00", k, r.Attributes[k])
		}
	}
	return b.String()
}

// sameGroups reports whether all inputs are grouped by the same attributes, so
// that their recordings of one group make one unit.
func sameGroups(inputs []*config.Input) bool {
	for _, in := range inputs {
		if len(in.Group) == 0 || strings.Join(in.Group, ",") != strings.Join(inputs[0].Group, ",") {
			return false
		}
	}
	return true
}

// logicalInput names the unit a recording belongs to, and returns what tells
// it from other units: where the recording lies, or the values by which the
// input is grouped.
func logicalInput(in *config.Input, rec *Recording, joined bool) (name, key string, err error) {
	if len(in.Group) == 0 && in.Output != "" {
		return "all", "all", nil
	}
	if len(in.Group) == 0 {
		return in.Name + "/" + rec.Attributes[graph.RecordingAttribute], in.Name + "/" + absolute(rec.URI), nil
	}
	var parts []string
	for _, g := range in.Group {
		v, ok := rec.Attributes[g]
		if !ok {
			return "", "", &pipeline.Issue{Pos: in.Pos, Path: in.Path + ".group.by",
				Message: fmt.Sprintf("recordings have no attribute %q: capture it in the uri as {%s}", g, g)}
		}
		parts = append(parts, g+"="+v)
	}
	name = strings.Join(parts, "/")
	if !joined {
		name = in.Name + "/" + name
	}
	return name, name, nil
}

// recordingID names a recording in the rows made of it: its key in the bucket,
// or its path as the pipeline spells it. It does not depend on where the globs
// of the pattern begin.
func recordingID(uri string) string {
	if scheme, rest, ok := strings.Cut(uri, "://"); ok {
		if _, key, ok := strings.Cut(rest, "/"); ok && scheme != "file" {
			return key
		}
		return rest
	}
	return uri
}

// find lists the recordings of an input in order of their keys.
func (r *Runner) find(ctx context.Context, in *config.Input) ([]*Recording, error) {
	if in.Output != "" {
		return r.findLake(ctx, in)
	}
	pat, err := store.ParsePattern(in.URI.Value)
	if err != nil {
		return nil, fmt.Errorf("input %s: %w", in.Name, err)
	}
	var skip []*store.Pattern
	for _, x := range in.Exclude {
		p, err := store.ParsePattern(x.Value)
		if err != nil {
			return nil, fmt.Errorf("input %s: exclude: %w", in.Name, err)
		}
		skip = append(skip, p)
	}
	st, err := r.OpenStore(ctx, pat.Root())
	if err != nil {
		return nil, fmt.Errorf("input %s: %w", in.Name, err)
	}
	own, ownFile := 0, r.ownFile()
	keep := func(obj pipeline.Object) bool {
		for _, p := range skip {
			if _, ok := p.Match(obj.Key); ok {
				return false
			}
		}
		if ownFile(obj.URI) {
			own++
			return false
		}
		return true
	}
	skipped := func(uri, why string) {
		if r.Log != nil {
			r.Log.Info("a member of an archive is left out", "input", in.Name, "uri", uri, "why", why)
		}
	}
	found, err := recording.Find(ctx, r.Graph.Formats(in), st, pat, recording.Options{Keep: keep, Skipped: skipped})
	if err != nil {
		return nil, fmt.Errorf("input %s: listing %s: %w", in.Name, in.URI.Value, err)
	}
	out := make([]*Recording, 0, len(found))
	for _, rec := range found {
		attrs := map[string]string{graph.RecordingAttribute: recordingID(rec.URI)}
		for k, v := range in.Attributes {
			attrs[k] = v
		}
		for k, v := range rec.Captures {
			if old, ok := in.Attributes[k]; ok && old != v {
				return nil, fmt.Errorf("input %s: %s: attribute %s is %q in the path but declared as %q: %w", in.Name, rec.URI, k, v, old, pipeline.ErrSchema)
			}
			attrs[k] = v
		}
		out = append(out, &Recording{Recording: rec, Input: in, Attributes: attrs})
	}
	if own > 0 && r.Log != nil {
		r.Log.Warn("the input also matches files that the pipeline itself wrote; they are left out", "input", in.Name, "uri", in.URI.Value, "files", own)
	}
	return out, nil
}

// ownFile returns a function that reports whether an object is state of an
// output of this pipeline, or a file that a unit wrote there. Reading those
// again would make the lake grow with every run.
func (r *Runner) ownFile() func(uri string) bool {
	var roots []string
	for _, s := range r.Graph.Sinks() {
		roots = append(roots, strings.TrimRight(absolute(s.Sink.Store().Root()), "/")+"/")
	}
	return func(uri string) bool {
		uri = absolute(uri)
		for _, root := range roots {
			key, ok := strings.CutPrefix(uri, root)
			if ok && (strings.HasPrefix(key, lineage.StateDir+"/") || lakeFile.MatchString(path.Base(key))) {
				return true
			}
		}
		return false
	}
}

// absolute makes local paths comparable.
func absolute(uri string) string {
	if path, ok := strings.CutPrefix(uri, "file://"); ok {
		return path
	}
	if strings.Contains(uri, "://") {
		return uri
	}
	if p, err := filepath.Abs(uri); err == nil {
		return filepath.ToSlash(p)
	}
	return uri
}
