package graph

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/config"
)

// PlanDocument is what a plan fingerprint covers, spelled out, so that two
// fingerprints can be compared setting by setting. Where recordings and lakes
// lie is not in it, since it is not in the fingerprint either; settings that
// have their default are left out, as there.
type PlanDocument struct {
	Layout int    `json:"layout"` // 1
	Plan   string `json:"plan"`   // the fingerprint
	// Settings are values by dotted path, stages.moving.where: texts as they
	// are, everything else as JSON.
	Settings map[string]string `json:"settings"`
	// Behaviours are the behaviour versions of components and formats, by the
	// path of the node or input and the component's name.
	Behaviours map[string]int `json:"behaviours"`
	// Sides are content hashes of tables and files that were loaded, by the path
	// of the node or input and the URI.
	Sides map[string]string `json:"sides,omitempty"`
}

// PlanDocument spells out what PlanFingerprint covers.
func (g *Graph) PlanDocument() *PlanDocument {
	d := &PlanDocument{Layout: 1, Plan: g.PlanFingerprint(), Settings: make(map[string]string), Behaviours: make(map[string]int), Sides: make(map[string]string)}
	for i, in := range g.inputs {
		d.flatten(in.Path, config.Canonical(in, "uri", "format"))
		d.Settings[in.Path+".attributes"] = list(Attributes(in))
		if in.Format != "" {
			d.Settings[in.Path+".format"] = in.Format
		}
		for _, spec := range g.registry.Formats() {
			if in.Format == "" || in.Format == spec.Format.Name() {
				d.Behaviours[in.Path+": "+spec.Format.Name()] = spec.Behaviour
			}
		}
		d.side(in.Path, g.formats[i].loaded)
	}
	for _, n := range g.nodes {
		var from []string
		for _, r := range n.from {
			from = append(from, r.text.Value)
		}
		d.Settings[n.Path+".use"], d.Settings[n.Path+".from"] = n.Use, list(from)
		if n.As != "" {
			d.Settings[n.Path+".as"] = n.As
		}
		d.flatten(n.Path, n.print.Config)
		d.Behaviours[n.Path+": "+n.Use] = n.behaviour
		d.side(n.Path, n.loaded)
	}
	return d
}

func list(names []string) string { return "[" + strings.Join(names, ", ") + "]" }

// side notes what was loaded by URI: later loads of the same one are the same.
func (d *PlanDocument) side(path string, loaded map[string]string) {
	for uri, hash := range loaded {
		d.Sides[path+": "+uri] = hash
	}
}

// flatten notes each value of an object under its path; lists stay whole.
func (d *PlanDocument) flatten(path string, data json.RawMessage) {
	if bytes.HasPrefix(data, []byte("{")) {
		var fields map[string]json.RawMessage
		if json.Unmarshal(data, &fields) == nil {
			for k, v := range fields {
				d.flatten(path+"."+k, v)
			}
			return
		}
	}
	var text string
	if json.Unmarshal(data, &text) != nil {
		text = string(data)
	}
	d.Settings[path] = text
}

// PlanChange is one difference between two plans.
type PlanChange struct {
	Kind   string `json:"kind"` // setting, behaviour or side
	Path   string `json:"path"`
	Before string `json:"before,omitempty"` // empty: not there, or the default
	After  string `json:"after,omitempty"`
}

// Compare lists what differs from an older plan, settings first.
func (d *PlanDocument) Compare(old *PlanDocument) []PlanChange {
	out := differences("setting", old.Settings, d.Settings, func(v string) string { return v })
	out = append(out, differences("behaviour", old.Behaviours, d.Behaviours, func(n int) string { return fmt.Sprint(n) })...)
	return append(out, differences("side", old.Sides, d.Sides, func(h string) string { return fmt.Sprintf("%.12s", h) })...)
}

func differences[V any](kind string, old, now map[string]V, text func(V) string) []PlanChange {
	var out []PlanChange
	for path, v := range now {
		was, ok := old[path]
		switch {
		case !ok:
			out = append(out, PlanChange{Kind: kind, Path: path, After: text(v)})
		case text(was) != text(v):
			out = append(out, PlanChange{Kind: kind, Path: path, Before: text(was), After: text(v)})
		}
	}
	for path := range maps.Keys(old) {
		if _, ok := now[path]; !ok {
			out = append(out, PlanChange{Kind: kind, Path: path, Before: text(old[path])})
		}
	}
	slices.SortFunc(out, func(a, b PlanChange) int { return cmp.Compare(a.Path, b.Path) })
	return out
}

// DecodePlanDocument reads a document that was kept. The key is for messages.
func DecodePlanDocument(key string, data []byte) (*PlanDocument, error) {
	var d PlanDocument
	if err := json.Unmarshal(data, &d); err != nil {
		return nil, fmt.Errorf("plan %s: %w: %w", key, pipeline.ErrCorrupt, err)
	}
	if d.Layout != 1 {
		return nil, fmt.Errorf("plan %s: layout %d: %w (written by a newer drivemill?)", key, d.Layout, pipeline.ErrUnsupported)
	}
	return &d, nil
}
