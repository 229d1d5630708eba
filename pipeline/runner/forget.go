package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/lineage"
)

// ForgetOptions say how to forget.
type ForgetOptions struct {
	// Delete removes; otherwise what would be removed is only listed.
	Delete bool
	// Failpoint, in tests, is called at named moments.
	Failpoint func(name string) error
}

// Forgotten is a unit that holds something of a forgotten object.
type Forgotten struct {
	Unit    string   `json:"unit"`
	Slot    string   `json:"slot"`
	Objects []string `json:"objects"` // those that are forgotten
	// Others are inputs that the unit also had; the next run makes it of them.
	Others []string `json:"others,omitempty"`
	Files  []string `json:"files"`
	State  []string `json:"state"` // records, claims and marks
	Bytes  int64    `json:"bytes"` // of the files, as the records say
}

// Forget removes all files and records of units that were made from objects,
// and leaves tombstones, so that no run brings the objects back. An object is
// named by its URI, a folder with a slash at the end stands for all below it.
// Units that also had other inputs are made of those by the next run; until
// then their rows are missing. Steps of reduce follow at the next run too.
//
// Events and plans of runs stay: they name objects, and hold no rows. Side
// tables and databases are not objects of a recording: what was made with them
// stays.
func Forget(ctx context.Context, st pipeline.Store, uris []string, opt ForgetOptions) ([]Forgotten, error) {
	l, old, err := openForgotten(ctx, st)
	if err != nil {
		return nil, err
	}
	wanted := make(tombstones)
	for _, uri := range uris {
		uri = absoluteFolder(uri)
		wanted[uri] = &tombstone{Layout: 1, URI: uri}
		if t := old[uri]; t != nil {
			wanted[uri].Slots = t.Slots
		}
	}
	found, err := l.madeFrom(ctx, wanted)
	if err != nil || !opt.Delete {
		return found, err
	}
	if opt.Failpoint == nil {
		opt.Failpoint = func(string) error { return nil }
	}
	for _, t := range wanted {
		one := tombstones{t.URI: t}
		for _, f := range found {
			if one.hasAny(f.Objects) && !slices.Contains(t.Slots, f.Slot) {
				t.Slots = append(t.Slots, f.Slot)
			}
		}
		if err := t.put(ctx, st); err != nil {
			return found, err
		}
	}
	return found, l.endForgetting(ctx, wanted, opt.Failpoint)
}

// Remember lifts tombstones: the next run takes the objects in again.
func Remember(ctx context.Context, st pipeline.Store, uris []string) error {
	l, old, err := openForgotten(ctx, st)
	if err != nil {
		return err
	}
	for _, uri := range uris {
		if old[absoluteFolder(uri)] == nil {
			return fmt.Errorf("%s was not forgotten in %s: %w", uri, st.Root(), pipeline.ErrNotFound)
		}
	}
	for _, uri := range uris {
		t := old[absoluteFolder(uri)]
		// What is not removed yet would stay in force, and is.
		if err := l.endForgetting(ctx, tombstones{t.URI: t}, func(string) error { return nil }); err != nil {
			return err
		}
		if err := st.Delete(ctx, tombstoneKey(t.URI)); err != nil {
			return fmt.Errorf("lifting the tombstone of %s: %w", uri, err)
		}
	}
	return nil
}

// absoluteFolder makes local paths comparable and keeps the slash at the end of
// a folder.
func absoluteFolder(uri string) string {
	out := strings.TrimSuffix(absolute(uri), "/")
	if strings.HasSuffix(uri, "/") {
		out += "/"
	}
	return out
}

// errEnough ends a listing.
var errEnough = errors.New("enough")

func openForgotten(ctx context.Context, st pipeline.Store) (*lake, tombstones, error) {
	err := st.List(ctx, lineage.StateDir+"/", func(pipeline.Object) error { return errEnough })
	switch {
	case err == nil:
		return nil, nil, fmt.Errorf("%s is not a lake: there is nothing in %s/: %w", st.Root(), lineage.StateDir, pipeline.ErrNotFound)
	case !errors.Is(err, errEnough):
		return nil, nil, fmt.Errorf("listing %s: %w", st.Root(), err)
	}
	l := &lake{root: st.Root(), store: st}
	if err := l.load(ctx); err != nil {
		return nil, nil, err
	}
	old, err := l.loadTombstones(ctx)
	return l, old, err
}

// madeFrom finds the slots of which some revision, in force or not, was made
// from a wanted object. It reads every record and claim.
func (l *lake) madeFrom(ctx context.Context, wanted tombstones) ([]Forgotten, error) {
	var keys []placedKey
	for _, slot := range sortedSlots(l.commits) {
		for _, k := range l.commits[slot] {
			keys = append(keys, placedKey{l, k})
		}
	}
	commits, err := readCommits(ctx, keys)
	if err != nil {
		return nil, err
	}
	found := make(map[string]*Forgotten)
	note := func(slot, unit string, objects []string) {
		if !wanted.hasAny(objects) {
			return
		}
		f := found[slot]
		if f == nil {
			f = &Forgotten{Slot: slot}
			found[slot] = f
		}
		f.Unit = unit
		f.Others = f.Others[:0]
		for _, o := range objects {
			if !wanted.has(o) {
				f.Others = append(f.Others, o)
			} else if !slices.Contains(f.Objects, o) {
				f.Objects = append(f.Objects, o)
			}
		}
	}
	for _, k := range l.claims {
		c, err := l.readClaim(ctx, k.ClaimKey())
		if err != nil {
			return nil, err
		}
		if c != nil {
			note(k.Slot, "(claimed, without a record)", c.Objects)
		}
	}
	bytes := make(map[string]int64)
	for i, c := range commits {
		note(keys[i].key.Slot, c.Unit, c.Objects())
		for _, t := range c.Tables {
			for _, f := range t.Files {
				bytes[f.Key] = f.Bytes
			}
		}
	}
	var out []Forgotten
	for slot, f := range found {
		if f.Files, f.State, err = l.removable(ctx, slot, wanted); err != nil {
			return nil, err
		}
		for _, key := range f.Files {
			f.Bytes += bytes[key]
		}
		out = append(out, *f)
	}
	slices.SortFunc(out, func(a, b Forgotten) int { return strings.Compare(a.Slot, b.Slot) })
	return out, nil
}
