package runner

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"sync"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/lineage"
)

// A unit can take its process down: memory that nobody foresaw, a fault of the
// runtime, a machine that dies of it. Before a unit starts, a mark is left in
// the lake, and removed when the unit has ended, well or not. Marks that are
// there at the start of a run are of processes that vanished (or are at work
// on the same unit right now, which is rare and does no harm).
//
// A unit with suspectAfter marks runs last and alone, so that it takes no
// others down; one with poisonAfter marks is not run any more.
const (
	suspectAfter = 2
	poisonAfter  = 3
)

// ErrPoison is why a unit is not run any more.
var ErrPoison = errors.New("poison: the process vanished each time")

// attempts are the marks of a lake.
type attempts struct {
	store pipeline.Store
	// name tells the marks of this process from those of others: a mark may be
	// there although the answer to its creation was lost.
	name  string
	mu    sync.Mutex
	marks map[string][]string // keys by slot and revision
	last  map[string]int      // highest number
}

// loadAttempts lists the marks: none, most of the time.
func loadAttempts(ctx context.Context, l *lake) (*attempts, error) {
	a := &attempts{store: l.store, name: rand.Text(), marks: make(map[string][]string), last: make(map[string]int)}
	err := l.store.List(ctx, lineage.AttemptsDir+"/", func(o pipeline.Object) error {
		parts := strings.Split(path.Base(o.Key), ".")
		if len(parts) != 3 {
			return nil
		}
		n, err := strconv.Atoi(parts[2])
		if err != nil {
			return nil
		}
		id := parts[0] + "." + parts[1]
		a.marks[id] = append(a.marks[id], o.Key)
		a.last[id] = max(a.last[id], n)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("listing the attempts of %s: %w", l.root, err)
	}
	return a, nil
}

func (u *Unit) attemptID() string { return u.Slot + "." + u.Revision }

// vanished is how many processes did not come back from the unit.
func (a *attempts) vanished(u *Unit) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.marks[u.attemptID()])
}

// begin leaves a mark and returns what removes it.
func (a *attempts) begin(ctx context.Context, u *Unit) (end func(context.Context) error, err error) {
	id := u.attemptID()
	a.mu.Lock()
	n := a.last[id]
	a.mu.Unlock()
	for {
		n++
		key := fmt.Sprintf("%s/%s.%03d", lineage.AttemptsDir, id, n)
		err := a.store.PutIfAbsent(ctx, key, []byte(a.name))
		if errors.Is(err, pipeline.ErrExists) {
			if is, gerr := a.store.Get(ctx, key); gerr != nil || string(is) != a.name {
				continue
			}
			err = nil
		}
		if err != nil {
			return nil, fmt.Errorf("marking the attempt: %w", err)
		}
		return func(ctx context.Context) error { return a.store.Delete(ctx, key) }, nil
	}
}

// forget removes the marks that vanished processes left: the unit has been
// done since, or somebody wants it tried again.
func (a *attempts) forget(ctx context.Context, u *Unit) error {
	id := u.attemptID()
	a.mu.Lock()
	keys := a.marks[id]
	delete(a.marks, id)
	a.mu.Unlock()
	for _, k := range keys {
		if err := a.store.Delete(ctx, k); err != nil {
			return fmt.Errorf("removing the mark of an attempt: %w", err)
		}
	}
	return nil
}

// clear removes marks that mean nothing any more: of units that are done, and
// of revisions that are not wanted now.
func (a *attempts) clear(ctx context.Context, units []*UnitResult) error {
	wanted := make(map[string]string, len(units))
	for _, u := range units {
		wanted[u.Unit.Slot] = ""
		if u.Outcome != Skipped {
			wanted[u.Unit.Slot] = u.Unit.attemptID()
		}
	}
	for id, keys := range a.marks {
		slot, _, _ := strings.Cut(id, ".")
		if want, ok := wanted[slot]; !ok || want == id {
			continue
		}
		for _, k := range keys {
			if err := a.store.Delete(ctx, k); err != nil {
				return fmt.Errorf("removing the mark of an attempt: %w", err)
			}
		}
		delete(a.marks, id)
	}
	return nil
}
