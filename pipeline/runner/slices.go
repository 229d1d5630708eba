package runner

import (
	"context"
	"fmt"
	"strconv"

	"github.com/drivemill/drivemill/pipeline"
)

// Slice is a part of a recording that is a unit of its own: a span of log time.
type Slice struct {
	Number int   `json:"number"` // from 0
	Of     int   `json:"of"`
	From   int64 `json:"from"` // inclusive; 0 in the first: no bound
	To     int64 `json:"to"`   // exclusive; 0 in the last: no bound
}

// The slot of a slice is that of its recording with the slice's number and how
// many there are, so that a listing tells whether all are done, and what a cut
// into other slices left behind.
const sliceDigits = 4

func (u *Unit) sliceSlot(number, of int) string {
	return fmt.Sprintf("%s%0*x%0*x", u.Slot, sliceDigits, number, sliceDigits, of)
}

// recordingSlot is the slot of the recording that a slot is of, with the number
// of its slices, 0 for a recording that is not cut.
func recordingSlot(slot string) (whole string, of int) {
	if len(slot) != slotDigits+2*sliceDigits {
		return slot, 0
	}
	n, err := strconv.ParseUint(slot[slotDigits+sliceDigits:], 16, 32)
	if err != nil {
		return slot, 0
	}
	return slot[:slotDigits], int(n)
}

const maxSlices = 1<<(4*sliceDigits) - 1

// Whole is a recording above the split size that is one unit all the same.
type Whole struct {
	Unit string `json:"unit"`
	Why  string `json:"why"`
}

// cutUnits cuts large recordings into slices, where their format can decode
// parts and no stage remembers more than a row.
func (r *Runner) cutUnits(ctx context.Context, units []*Unit) ([]*Unit, error) {
	if r.SplitSize <= 0 || r.Graph.Pipeline.Step != "" {
		return units, nil
	}
	var out []*Unit
	for _, u := range units {
		if u.Bytes() <= r.SplitSize {
			out = append(out, u)
			continue
		}
		parts, why, err := r.cutUnit(ctx, u)
		if err != nil {
			return nil, err
		}
		if why != "" {
			r.Wholes = append(r.Wholes, Whole{Unit: u.Name, Why: why})
			if r.Log != nil {
				r.Log.Info("a large recording is not cut into slices", "unit", u.Name, "bytes", u.Bytes(), "why", why)
			}
		}
		if len(parts) == 0 {
			parts = []*Unit{u}
		}
		out = append(out, parts...)
	}
	return out, nil
}

// cutUnit returns the slices of a unit, or why there are none.
func (r *Runner) cutUnit(ctx context.Context, u *Unit) ([]*Unit, string, error) {
	if len(u.Recordings) != 1 {
		return nil, "it is a group of recordings", nil
	}
	if done := r.slicesDone(u); done != nil {
		return done, "", nil
	}
	run := &unitRun{Runner: r, unit: u}
	if err := run.describe(ctx); err != nil {
		if pipeline.IsTransient(err) || ctx.Err() != nil {
			return nil, "", err
		}
		return nil, "it cannot be described: " + err.Error(), nil // the unit will fail by that
	}
	if err := run.bind(); err != nil {
		return nil, "it does not fit the pipeline", nil // likewise
	}
	for _, n := range run.bound.Nodes {
		if n.Stage != nil && n.Stage.State != pipeline.StateNone {
			return nil, fmt.Sprintf("stage %s remembers rows", n.Name), nil
		}
	}
	o := run.opened[0]
	cutter, ok := o.format.Format.(pipeline.Cutter)
	if !ok {
		return nil, fmt.Sprintf("%s recordings are not decoded in parts", o.format.Format.Name()), nil
	}
	at, why := cutter.Cut(o.desc, r.SplitSize)
	if len(at) == 0 || why != "" {
		return nil, why, nil
	}
	if len(at) >= maxSlices {
		return nil, fmt.Sprintf("it would be %d slices; raise the split size", len(at)+1), nil
	}
	var out []*Unit
	for i := range len(at) + 1 {
		s := &Slice{Number: i, Of: len(at) + 1}
		if i > 0 {
			s.From = at[i-1]
		}
		if i < len(at) {
			s.To = at[i]
		}
		out = append(out, r.sliceOf(u, s))
	}
	return out, "", nil
}

// sliceOf makes the unit of a slice. Its revision does not depend on where the
// cuts are: the same recording is cut at the same places by the same size.
func (r *Runner) sliceOf(u *Unit, s *Slice) *Unit {
	out := *u
	out.Slice = s
	out.Name = fmt.Sprintf("%s#%d/%d", u.Name, s.Number, s.Of)
	out.Slot = u.sliceSlot(s.Number, s.Of)
	out.Revision = r.sliceRevision(u, s.Number, s.Of)
	return &out
}

func (r *Runner) sliceRevision(u *Unit, number, of int) string {
	return hash(revisionDigits, u.Revision, fmt.Sprintf("slice %d of %d by %d", number, of, r.SplitSize))
}

// slicesDone returns the slices of a unit when all are in the lake: their number
// is in their slots, and the recording need not be looked at.
func (r *Runner) slicesDone(u *Unit) []*Unit {
	if r.pieces == nil {
		r.pieces = make(map[string]map[int]int)
		for slot := range r.lakes[0].commits {
			if whole, of := recordingSlot(slot); of > 0 {
				if r.pieces[whole] == nil {
					r.pieces[whole] = make(map[int]int)
				}
				r.pieces[whole][of]++
			}
		}
	}
	for of, have := range r.pieces[u.Slot] {
		if have != of {
			continue
		}
		out := make([]*Unit, 0, of)
		for i := range of {
			s := r.sliceOf(u, &Slice{Number: i, Of: of})
			for _, l := range r.lakes {
				if k, ok := l.newest(s.Slot); !ok || k.Revision != s.Revision {
					out = nil
				}
			}
			if out == nil {
				break
			}
			out = append(out, s)
		}
		if len(out) == of {
			return out
		}
	}
	return nil
}

// settleSlices removes what a recording left when it was cut otherwise, once
// all that it is cut into now is there.
func (r *Runner) settleSlices(ctx context.Context, units []*Unit) error {
	wanted := make(map[string]map[string]string) // by recording, slot to revision
	for _, u := range units {
		whole, _ := recordingSlot(u.Slot)
		if wanted[whole] == nil {
			wanted[whole] = make(map[string]string)
		}
		wanted[whole][u.Slot] = u.Revision
	}
	for _, l := range r.lakes {
		complete := make(map[string]bool)
		for whole, slots := range wanted {
			complete[whole] = true
			for slot, rev := range slots {
				k, ok := l.newest(slot)
				complete[whole] = complete[whole] && ok && k.Revision == rev
			}
		}
		var stale []string
		for _, slot := range sortedSlots(l.commits) {
			whole, _ := recordingSlot(slot)
			if _, ok := wanted[whole][slot]; !ok && complete[whole] {
				stale = append(stale, slot)
			}
		}
		if err := r.removeSlots(ctx, l, stale, ""); err != nil {
			return err
		}
	}
	return nil
}
