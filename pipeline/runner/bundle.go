package runner

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/config"
	"github.com/drivemill/drivemill/pipeline/lineage"
)

// Many small recordings make one unit when their input is grouped by bytes.
// Which ones must not depend on what else is there: a recording that comes or
// goes must change as few units as it can. So the recordings (of one group of
// attributes, where there are some) are taken in order of where they lie, and
// each decides alone whether it begins a unit: when a hash of its place, seen as
// a number from 0 to 1, is below its size as a share of the wanted bytes. Units
// then have the wanted bytes on average, and a unit is known by the recording
// that begins it. Recordings added at the end make the last unit longer or begin
// new ones; one in the middle changes the unit that it falls into, or cuts it in
// two. A recording of the wanted bytes or more is a unit by itself, the same as
// without grouping.

// bundle returns for each recording of an input that is grouped by bytes what
// tells its unit from others, empty for one that stays alone.
func bundle(in *config.Input, found []*Recording) (map[*Recording]string, error) {
	target := int64(in.Grouping.Bytes)
	ordered := slices.Clone(found)
	slices.SortStableFunc(ordered, func(a, b *Recording) int { return strings.Compare(absolute(a.URI), absolute(b.URI)) })
	out := make(map[*Recording]string)
	begun := make(map[string]string) // by group of attributes
	for _, rec := range ordered {
		by, err := groupOf(in, rec)
		if err != nil {
			return nil, err
		}
		if rec.Bytes() >= target {
			continue
		}
		if _, ok := begun[by]; !ok {
			// It needs a name that does not change when earlier ones come.
			begun[by] = "first"
		}
		if begins(absolute(rec.URI), rec.Bytes(), target) {
			begun[by] = "from " + absolute(rec.URI)
		}
		out[rec] = strings.TrimPrefix(by+"/"+begun[by], "/")
	}
	return out, nil
}

// begins reports whether a recording is the first of a unit.
func begins(place string, size, target int64) bool {
	sum := sha256.Sum256([]byte(place))
	at := float64(binary.BigEndian.Uint64(sum[:8])) / math.MaxUint64
	return at < float64(size)/float64(target)
}

// moved lists slots, by lake, that no unit has any more although recordings
// that they were made from are in other units now: recordings were regrouped.
// Rows would be there twice. Slots of which no recording is left stay, since
// nobody said to forget them, and so do those with recordings in a unit that is
// not ready.
func (r *Runner) moved(ctx context.Context, units, ready []*Unit) (map[string][]string, error) {
	runs := make(map[*Unit]bool)
	for _, u := range ready {
		runs[u] = true
	}
	wanted := make(map[string]bool)
	covered, waiting := make(map[string]bool), make(map[string]bool)
	for _, u := range units {
		wanted[u.Slot] = true
		for _, rec := range u.Recordings {
			if rec.Input.Grouping.Bytes > 0 {
				for _, o := range rec.Objects {
					if runs[u] {
						covered[absolute(o.URI)] = true
					} else {
						waiting[absolute(o.URI)] = true
					}
				}
			}
		}
	}
	if len(covered) == 0 {
		return nil, nil
	}
	out := make(map[string][]string)
	for _, l := range r.lakes {
		var keys []placedKey
		for _, slot := range sortedSlots(l.commits) {
			if k, _ := l.newest(slot); !wanted[slot] {
				keys = append(keys, placedKey{l, k})
			}
		}
		commits, err := readCommits(ctx, keys)
		if err != nil {
			return nil, err
		}
		for _, c := range commits {
			in, ok := r.Graph.Pipeline.Input(inputOf(c))
			if c.Pipeline != r.Graph.Pipeline.Name || !ok || in.Grouping.Bytes == 0 {
				continue
			}
			has := func(set map[string]bool) bool {
				return slices.ContainsFunc(c.Inputs, func(i lineage.Input) bool { return !i.Beside && set[absolute(i.URI)] })
			}
			if has(covered) && !has(waiting) {
				out[l.root] = append(out[l.root], c.Slot)
			}
		}
	}
	return out, nil
}

// inputOf is the input that the recordings of a commit are of.
func inputOf(c *lineage.Commit) string {
	if len(c.Inputs) == 0 {
		return ""
	}
	return c.Inputs[0].Input
}

// removeMoved removes the slots that moved lists, when the units that have
// their recordings now are all done.
func (r *Runner) removeMoved(ctx context.Context, slots map[string][]string) error {
	for _, l := range r.lakes {
		for _, slot := range slots[l.root] {
			last, err := l.lastRecord(ctx, slot)
			if err != nil {
				return err
			}
			if last.Slot == "" {
				continue
			}
			c, err := l.read(ctx, last)
			if err != nil {
				return err
			}
			all := make(tombstones)
			for _, uri := range c.Objects() {
				all[absolute(uri)] = &tombstone{}
			}
			if err := l.removeSlot(ctx, slot, all, r.failpoint); err != nil {
				return err
			}
			r.Log.Info("recordings of a unit are in other units now; its files were removed", "unit", c.Unit, "lake", l.root)
		}
		if len(slots[l.root]) > 0 {
			if err := l.load(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// groupOf returns the values by which a recording is grouped, empty for none.
func groupOf(in *config.Input, rec *Recording) (string, error) {
	var parts []string
	for _, g := range in.Group {
		v, ok := rec.Attributes[g]
		if !ok {
			return "", &pipeline.Issue{Pos: in.Pos, Path: in.Path + ".group.by",
				Message: fmt.Sprintf("recordings have no attribute %q: capture it in the uri as {%s}", g, g)}
		}
		parts = append(parts, g+"="+v)
	}
	return strings.Join(parts, "/"), nil
}
