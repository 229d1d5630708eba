package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"strings"
	"sync"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/lineage"
)

// lake is one place that a pipeline writes to, with the commit records there.
type lake struct {
	root  string
	store pipeline.Store
	sinks []string // names of the outputs that write here

	mu      sync.Mutex
	commits map[string][]lineage.CommitKey // by slot, in order of sequence
	claims  []lineage.CommitKey            // without revision
}

// load lists the commit records and claims: all that is needed to know what
// is done. Records come first: a claim without a record is then one that had
// none when it was made.
func (l *lake) load(ctx context.Context) error {
	commits := make(map[string][]lineage.CommitKey)
	err := l.store.List(ctx, lineage.CommitsDir+"/", func(o pipeline.Object) error {
		if k, ok := lineage.ParseCommitKey(o.Key); ok {
			commits[k.Slot] = append(commits[k.Slot], k)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("listing the commit records of %s: %w", l.root, err)
	}
	for _, ks := range commits {
		sort.Slice(ks, func(i, j int) bool { return ks[i].Sequence < ks[j].Sequence })
	}
	claims, err := l.listClaims(ctx, "")
	if err != nil {
		return err
	}
	l.mu.Lock()
	l.commits, l.claims = commits, claims
	l.mu.Unlock()
	return nil
}

// listClaims lists the claims of a slot, empty for all.
func (l *lake) listClaims(ctx context.Context, slot string) ([]lineage.CommitKey, error) {
	prefix := lineage.ClaimsDir + "/"
	if slot != "" {
		prefix += slot + "."
	}
	var claims []lineage.CommitKey
	err := l.store.List(ctx, prefix, func(o pipeline.Object) error {
		if k, ok := parseClaimKey(o.Key); ok {
			claims = append(claims, k)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("listing the claims of %s: %w", l.root, err)
	}
	return claims, nil
}

// contested lists the slots with a claim that follows the record in force: a
// process died, or is at work, between its claim and its record. Files of it
// may be visible beside those in force, until a newer record settles it.
func (l *lake) contested() map[string]bool {
	out := make(map[string]bool)
	for _, k := range l.claims {
		if newest, ok := l.newest(k.Slot); ok && k.Sequence > newest.Sequence {
			out[k.Slot] = true
		}
	}
	return out
}

// newest returns the commit in force for a slot.
func (l *lake) newest(slot string) (lineage.CommitKey, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ks := l.commits[slot]
	if len(ks) == 0 {
		return lineage.CommitKey{}, false
	}
	return ks[len(ks)-1], true
}

func (l *lake) read(ctx context.Context, k lineage.CommitKey) (*lineage.Commit, error) {
	data, err := l.store.Get(ctx, k.String())
	if err != nil {
		return nil, fmt.Errorf("reading commit record: %w", err)
	}
	return lineage.DecodeCommit(k.String(), data)
}

// claim takes the place in the order of revisions that follows the newest
// commit record. A claim by the same revision, of a process that died or one
// that works on the same unit right now, is shared: both will write the same
// bytes. Claims are removed once their record exists, so that a place that is
// free may have been taken and settled since the records were listed: they are
// looked at again, after the claim, when no other process can take the place.
func (l *lake) claim(ctx context.Context, slot, revision string, after int, keys, objects []string) (lineage.CommitKey, error) {
	data, err := json.Marshal(lineage.Claim{Revision: revision, Keys: keys, Objects: objects})
	if err != nil {
		return lineage.CommitKey{}, err
	}
	for seq := after + 1; ; seq++ {
		k := lineage.CommitKey{Slot: slot, Sequence: seq, Revision: revision}
		err := l.store.PutIfAbsent(ctx, k.ClaimKey(), append(data, '\n'))
		if err == nil {
			last, err := l.lastRecord(ctx, slot)
			if err != nil {
				return k, err
			}
			// Another process may have done the same work and settled its claim
			// between our try for its place and our look at it.
			same := last.Sequence > after && last.Sequence < seq && last.Revision == revision
			if !same && (last.Sequence < seq || last == k) {
				return k, nil
			}
			if err := l.store.Delete(ctx, k.ClaimKey()); err != nil {
				return k, fmt.Errorf("giving up a claim: %w", err)
			}
			if same {
				return last, nil
			}
			seq = last.Sequence
			continue
		}
		if !errors.Is(err, pipeline.ErrExists) {
			return k, fmt.Errorf("claiming revision %s of slot %s: %w", revision, slot, err)
		}
		old, err := l.readClaim(ctx, k.ClaimKey())
		if err != nil {
			return k, err
		}
		if old != nil && old.Revision == revision {
			return k, nil
		}
	}
}

// lastRecord lists the records of one slot and returns the newest, zero for none.
func (l *lake) lastRecord(ctx context.Context, slot string) (lineage.CommitKey, error) {
	var last lineage.CommitKey
	err := l.store.List(ctx, lineage.CommitsDir+"/"+slot+".", func(o pipeline.Object) error {
		if k, ok := lineage.ParseCommitKey(o.Key); ok && k.Slot == slot && k.Sequence > last.Sequence {
			last = k
		}
		return nil
	})
	if err != nil {
		return last, fmt.Errorf("listing the records of slot %s: %w", slot, err)
	}
	return last, nil
}

// readClaim returns nil for a claim that was swept away in the meantime.
func (l *lake) readClaim(ctx context.Context, key string) (*lineage.Claim, error) {
	data, err := l.store.Get(ctx, key)
	if errors.Is(err, pipeline.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading claim: %w", err)
	}
	var c lineage.Claim
	if err := json.Unmarshal(data, &c); err != nil {
		return nil, fmt.Errorf("claim %s: %w: %w", key, pipeline.ErrCorrupt, err)
	}
	return &c, nil
}

// commit creates the record. One of the same name is of the same revision,
// and so the same.
func (l *lake) commit(ctx context.Context, k lineage.CommitKey, c *lineage.Commit, failpoint func(string) error) error {
	data, err := c.Encode()
	if err != nil {
		return err
	}
	if err := l.store.PutIfAbsent(ctx, k.String(), data); err != nil && !errors.Is(err, pipeline.ErrExists) {
		return fmt.Errorf("creating commit record: %w", err)
	}
	if err := failpoint("record:between"); err != nil {
		return err
	}
	if err := l.store.Delete(ctx, k.ClaimKey()); err != nil {
		return fmt.Errorf("removing a claim that has its record: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, have := range l.commits[k.Slot] {
		if have == k {
			return nil
		}
	}
	l.commits[k.Slot] = append(l.commits[k.Slot], k)
	return nil
}

// unsettled reports whether one of the slots has something that a newer record
// replaced, or a claim, by what was listed.
func (l *lake) unsettled(slots map[string]bool) bool {
	for slot, ks := range l.commits {
		if len(ks) > 1 && slots[slot] {
			return true
		}
	}
	for _, k := range l.claims {
		if slots[k.Slot] {
			return true
		}
	}
	return false
}

// Sweep is what settling a lake removed.
type Sweep struct {
	Files   []string // files of superseded and abandoned revisions
	Records []string // their records and claims
}

// sweep removes what newer revisions replaced: the files that only older
// records, or claims without a record, refer to; then those records and
// claims. A crash in between leaves the record, which is the obligation to
// go on.
func (l *lake) sweep(ctx context.Context, slots map[string]bool, failpoint func(string) error) (*Sweep, error) {
	if err := l.load(ctx); err != nil {
		return nil, err
	}
	claims := make(map[string][]lineage.CommitKey)
	for _, k := range l.claims {
		claims[k.Slot] = append(claims[k.Slot], k)
	}
	out := &Sweep{}
	for _, slot := range sortedSlots(l.commits) {
		if slots != nil && !slots[slot] {
			continue
		}
		if err := l.sweepSlot(ctx, l.commits[slot], claims[slot], out, failpoint); err != nil {
			return out, err
		}
	}
	return out, nil
}

func (l *lake) sweepSlot(ctx context.Context, commits, claims []lineage.CommitKey, out *Sweep, failpoint func(string) error) error {
	last := commits[len(commits)-1]
	recorded := make(map[int]bool)
	for _, k := range commits {
		recorded[k.Sequence] = true
	}
	var dead []lineage.CommitKey // claims of revisions that never got a record
	for _, k := range claims {
		if recorded[k.Sequence] {
			// Its process died between the record and the removal of the claim.
			if err := l.store.Delete(ctx, k.ClaimKey()); err != nil {
				return fmt.Errorf("removing a claim that has its record: %w", err)
			}
		}
		if k.Sequence < last.Sequence && !recorded[k.Sequence] {
			dead = append(dead, k)
		}
	}
	if len(commits) == 1 && len(dead) == 0 {
		return nil
	}
	newest, err := l.read(ctx, last)
	if err != nil {
		return err
	}
	keep := make(map[string]bool)
	for _, k := range newest.Keys() {
		keep[k] = true
	}
	if err := l.keepClaimed(ctx, last, keep); err != nil {
		return err
	}
	remove := func(keys []string, records ...string) error {
		for _, key := range keys {
			if keep[key] {
				continue
			}
			if err := l.remove(ctx, key); err != nil {
				return fmt.Errorf("removing superseded file: %w", err)
			}
			out.Files = append(out.Files, key)
			if err := failpoint("sweep:between"); err != nil {
				return err
			}
		}
		for _, r := range records {
			if err := l.store.Delete(ctx, r); err != nil {
				return fmt.Errorf("removing superseded record: %w", err)
			}
			out.Records = append(out.Records, r)
		}
		return nil
	}
	if err := failpoint("sweep:before"); err != nil {
		return err
	}
	for _, k := range commits[:len(commits)-1] {
		old, err := l.read(ctx, k)
		if errors.Is(err, pipeline.ErrNotFound) {
			continue // another process sweeps too
		}
		if err != nil {
			return err
		}
		if err := remove(old.Keys(), k.String(), k.ClaimKey()); err != nil {
			return err
		}
	}
	for _, k := range dead {
		c, err := l.readClaim(ctx, k.ClaimKey())
		if err != nil {
			return err
		}
		if c == nil {
			continue
		}
		if err := remove(c.Keys, k.ClaimKey()); err != nil {
			return err
		}
	}
	return nil
}

// remove deletes a file, or all objects of a directory.
func (l *lake) remove(ctx context.Context, key string) error {
	if !strings.HasSuffix(key, "/") {
		return l.store.Delete(ctx, key)
	}
	var keys []string
	err := l.store.List(ctx, key, func(o pipeline.Object) error {
		keys = append(keys, o.Key)
		return nil
	})
	for _, k := range keys {
		if err == nil {
			err = l.store.Delete(ctx, k)
		}
	}
	return err
}

// keepClaimed adds the files of claims that follow a record: another process
// may be about to bring a revision back whose files are those of an old one.
func (l *lake) keepClaimed(ctx context.Context, last lineage.CommitKey, keep map[string]bool) error {
	claims, err := l.listClaims(ctx, last.Slot)
	if err != nil {
		return err
	}
	for _, k := range claims {
		if k.Sequence <= last.Sequence {
			continue
		}
		c, err := l.readClaim(ctx, k.ClaimKey())
		if err != nil {
			return err
		}
		if c == nil {
			continue
		}
		for _, key := range c.Keys {
			keep[key] = true
		}
	}
	return nil
}

func parseClaimKey(key string) (lineage.CommitKey, bool) {
	return lineage.ParseCommitKey(strings.TrimSuffix(key, ".json") + ".claim.json")
}

func sortedSlots(m map[string][]lineage.CommitKey) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}
