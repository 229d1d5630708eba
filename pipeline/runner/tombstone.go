package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/lineage"
	"github.com/drivemill/drivemill/pipeline/store"
)

// ErrForgotten is why a unit that was planned before one of its objects was
// forgotten is not run.
var ErrForgotten = errors.New("an object was forgotten")

// LeftOut is something that the inputs match and that no unit was made of.
type LeftOut struct {
	Name string `json:"name"` // of an object, or of a unit
	Why  string `json:"why"`
}

// tombstone keeps an object from coming back. It is written before anything is
// removed, with the slots that hold something of the object, and without them
// when all is gone: what a process that died left undone is done by whoever
// comes next, a run or another forget.
type tombstone struct {
	Layout int    `json:"layout"` // 1
	URI    string `json:"uri"`    // absolute; with a slash at the end, all below
	// Slots are still to be removed.
	Slots []string `json:"slots,omitempty"`
}

func tombstoneKey(uri string) string {
	return lineage.ForgottenDir + "/" + hash(2*slotDigits, uri) + ".json"
}

func (t *tombstone) put(ctx context.Context, st pipeline.Store) error {
	data, err := json.Marshal(t)
	if err != nil {
		return err
	}
	if err := st.Put(ctx, tombstoneKey(t.URI), append(data, '\n')); err != nil {
		return fmt.Errorf("writing the tombstone of %s: %w", t.URI, err)
	}
	return nil
}

// tombstones are those of one lake or of several, by URI.
type tombstones map[string]*tombstone

// has reports whether the object at a URI was forgotten: itself, the zip it is
// a member of, or a folder above it.
func (t tombstones) has(uri string) bool {
	if len(t) == 0 {
		return false
	}
	uri = absolute(uri)
	if t[uri] != nil {
		return true
	}
	for i := range uri {
		if uri[i] == '/' && t[uri[:i+1]] != nil || strings.HasPrefix(uri[i:], store.MemberMark) && t[uri[:i]] != nil {
			return true
		}
	}
	return false
}

func (t tombstones) hasAny(uris []string) bool { return slices.ContainsFunc(uris, t.has) }

// loadTombstones lists the tombstones of a lake: one request where there are
// none.
func (l *lake) loadTombstones(ctx context.Context) (tombstones, error) {
	var keys []string
	err := l.store.List(ctx, lineage.ForgottenDir+"/", func(o pipeline.Object) error {
		keys = append(keys, o.Key)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("listing what was forgotten in %s: %w", l.root, err)
	}
	out := make(tombstones)
	for _, k := range keys {
		data, err := l.store.Get(ctx, k)
		if errors.Is(err, pipeline.ErrNotFound) {
			continue // it was lifted in the meantime
		}
		if err != nil {
			return nil, fmt.Errorf("reading a tombstone: %w", err)
		}
		var t tombstone
		if err := json.Unmarshal(data, &t); err != nil || t.Layout != 1 {
			return nil, fmt.Errorf("tombstone %s: %w", k, errors.Join(pipeline.ErrCorrupt, err))
		}
		out[t.URI] = &t
	}
	return out, nil
}

// endForgetting removes what tombstones say is still to be removed.
func (l *lake) endForgetting(ctx context.Context, all tombstones, failpoint func(string) error) error {
	for _, t := range all {
		if len(t.Slots) == 0 {
			continue
		}
		for _, slot := range t.Slots {
			if err := l.removeSlot(ctx, slot, tombstones{t.URI: t}, failpoint); err != nil {
				return err
			}
		}
		t.Slots = nil
		if err := t.put(ctx, l.store); err != nil {
			return err
		}
	}
	return nil
}

// removeSlot removes what a slot has of forgotten objects: files first, then
// claims and older records, and the newest record last, which is what says that
// there is something to remove.
func (l *lake) removeSlot(ctx context.Context, slot string, gone tombstones, failpoint func(string) error) error {
	files, state, err := l.removable(ctx, slot, gone)
	if err != nil || len(state) == 0 {
		return err
	}
	if err := failpoint("forget:before"); err != nil {
		return err
	}
	for _, keys := range [][]string{files, state} {
		for _, key := range keys {
			if err := l.remove(ctx, key); err != nil {
				return fmt.Errorf("removing %s: %w", key, err)
			}
			if err := failpoint("forget:between"); err != nil {
				return err
			}
		}
	}
	return failpoint("forget:after")
}

// loadSlot lists the records and claims of one slot.
func (l *lake) loadSlot(ctx context.Context, slot string) error {
	l.commits = make(map[string][]lineage.CommitKey)
	err := l.store.List(ctx, lineage.CommitsDir+"/"+slot+".", func(o pipeline.Object) error {
		if k, ok := lineage.ParseCommitKey(o.Key); ok {
			l.commits[slot] = append(l.commits[slot], k)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("listing the records of slot %s: %w", slot, err)
	}
	slices.SortFunc(l.commits[slot], func(a, b lineage.CommitKey) int { return a.Sequence - b.Sequence })
	l.claims, err = l.listClaims(ctx, slot)
	return err
}

// removable lists the files of a slot that come from forgotten objects, and the
// state that names them, in the order in which it can be removed. Where the
// record in force is of such an object, all revisions go: an older one must not
// come into force again. Otherwise it was made anew already, and only what is
// older or claimed goes.
func (l *lake) removable(ctx context.Context, slot string, gone tombstones) (files, state []string, err error) {
	one := &lake{root: l.root, store: l.store}
	if err := one.loadSlot(ctx, slot); err != nil {
		return nil, nil, err
	}
	records := make(map[string]*lineage.Commit)
	all := len(one.commits[slot]) == 0
	for _, k := range one.commits[slot] {
		c, err := l.read(ctx, k)
		if errors.Is(err, pipeline.ErrNotFound) {
			continue // swept in the meantime
		}
		if err != nil {
			return nil, nil, err
		}
		records[k.String()] = c
		all = gone.hasAny(c.Objects()) // at the end: the newest
	}
	keep := make(map[string]bool)
	note := func(key string, keys, objects []string) {
		if all || gone.hasAny(objects) {
			files, state = append(files, keys...), append(state, key)
			return
		}
		for _, k := range keys {
			keep[k] = true
		}
	}
	for _, k := range one.claims {
		c, err := l.readClaim(ctx, k.ClaimKey())
		if err != nil {
			return nil, nil, err
		}
		if c != nil {
			note(k.ClaimKey(), c.Keys, c.Objects)
		}
	}
	if all {
		err = l.store.List(ctx, lineage.AttemptsDir+"/"+slot+".", func(o pipeline.Object) error {
			state = append(state, o.Key)
			return nil
		})
		if err != nil {
			return nil, nil, fmt.Errorf("listing the attempts of slot %s: %w", slot, err)
		}
	}
	for _, k := range one.commits[slot] {
		if c := records[k.String()]; c != nil {
			note(k.String(), c.Keys(), c.Objects())
		}
	}
	files = slices.DeleteFunc(files, func(key string) bool { return keep[key] })
	slices.Sort(files)
	return slices.Compact(files), state, nil
}

// loadForgotten notes what was forgotten in any lake of the pipeline. With end
// set, what a process that died left undone is done first.
func (r *Runner) loadForgotten(ctx context.Context, end bool) error {
	r.forgotten = make(tombstones)
	for _, l := range r.lakes {
		all, err := l.loadTombstones(ctx)
		if err != nil {
			return err
		}
		for uri, t := range all {
			if len(t.Slots) > 0 && end {
				if err := l.endForgetting(ctx, tombstones{uri: t}, r.failpoint); err != nil {
					return err
				}
				if err := l.load(ctx); err != nil {
					return err
				}
			}
			r.forgotten[uri] = t
		}
	}
	return nil
}

// dropForgotten removes what units committed of objects that were forgotten
// while they ran.
func (r *Runner) dropForgotten(ctx context.Context, commits []*lineage.Commit) error {
	if err := r.loadForgotten(ctx, true); err != nil {
		return err
	}
	for _, c := range commits {
		if !r.forgotten.hasAny(c.Objects()) {
			continue
		}
		for _, l := range r.lakes {
			if err := l.removeSlot(ctx, c.Slot, r.forgotten, r.failpoint); err != nil {
				return err
			}
			if err := l.load(ctx); err != nil {
				return err
			}
		}
		r.Log.Warn("an object of the unit was forgotten while it ran; what it wrote was removed", "unit", c.Unit)
	}
	return nil
}

// leaveForgotten takes objects out of recordings that were forgotten, and
// recordings of which nothing is left.
func (r *Runner) leaveForgotten(found []*Recording) []*Recording {
	if len(r.forgotten) == 0 {
		return found
	}
	return slices.DeleteFunc(found, func(rec *Recording) bool {
		rec.Objects = slices.DeleteFunc(slices.Clone(rec.Objects), func(o pipeline.Object) bool { return r.leftForgotten(o.URI) })
		return len(rec.Objects) == 0
	})
}

// leftForgotten reports whether an object was forgotten, and notes that it was
// left out.
func (r *Runner) leftForgotten(uri string) bool {
	if !r.forgotten.has(uri) {
		return false
	}
	r.left = append(r.left, LeftOut{Name: uri, Why: "forgotten"})
	return true
}
