package runner

import (
	"context"
	"fmt"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/lineage"
	"github.com/drivemill/drivemill/pipeline/store"
)

// GCOptions say what to collect.
type GCOptions struct {
	// Delete removes; otherwise the garbage is only listed.
	Delete bool
	// Uploads are removed when they are older than this.
	OlderThan time.Duration
	Now       func() time.Time
}

// Garbage is something in a lake that nothing refers to.
type Garbage struct {
	Kind  string `json:"kind"` // superseded, orphan, upload
	Key   string `json:"key"`
	Bytes int64  `json:"bytes"`
}

// lakeFile is the name of a file that a unit writes: slot, revision, part.
var lakeFile = regexp.MustCompile(`^[0-9a-f]{16}-[0-9a-f]{12}-[0-9]{5}\.parquet$`)

// CollectGarbage finds what no commit record in force refers to: files of
// superseded revisions, files without any record (of a process that died
// before its claim), and uploads that were never completed. Files of a claim
// that may still be committed are left alone, and so is whatever does not
// carry the name of a lake file.
func CollectGarbage(ctx context.Context, st pipeline.Store, opt GCOptions) ([]Garbage, error) {
	l := &lake{root: st.Root(), store: st}
	if err := l.load(ctx); err != nil {
		return nil, err
	}
	live := make(map[string]bool)
	records := make(map[string]bool)
	old := make(map[string]bool)
	for _, slot := range sortedSlots(l.commits) {
		ks := l.commits[slot]
		for i, k := range ks {
			c, err := l.read(ctx, k)
			if err != nil {
				return nil, err
			}
			if i < len(ks)-1 {
				old[k.String()], old[k.ClaimKey()] = true, true
				for _, key := range c.Keys() {
					old[key] = true
				}
				continue
			}
			records[k.ClaimKey()] = true
			for _, key := range c.Keys() {
				live[key] = true
			}
		}
	}
	err := st.List(ctx, lineage.ClaimsDir+"/", func(o pipeline.Object) error {
		k, ok := parseClaimKey(o.Key)
		if !ok || records[o.Key] || old[o.Key] {
			return nil
		}
		c, err := l.readClaim(ctx, o.Key)
		if err != nil || c == nil {
			return err
		}
		newest, done := l.newest(k.Slot)
		for _, key := range c.Keys {
			if done && k.Sequence < newest.Sequence {
				old[key] = true
			} else {
				live[key] = true
			}
		}
		if done && k.Sequence < newest.Sequence {
			old[o.Key] = true
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("listing claims: %w", err)
	}
	var out []Garbage
	err = st.List(ctx, "", func(o pipeline.Object) error {
		switch {
		case live[o.Key]:
		case old[o.Key]:
			out = append(out, Garbage{Kind: "superseded", Key: o.Key, Bytes: o.Size})
		case lakeFile.MatchString(path.Base(o.Key)), strings.HasPrefix(o.Key, lineage.QuarantineDir+"/"):
			out = append(out, Garbage{Kind: "orphan", Key: o.Key, Bytes: o.Size})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w", st.Root(), err)
	}
	var uploads []store.Upload
	err = store.Uploads(ctx, st, func(u store.Upload) error {
		if opt.Now().Sub(u.Started) >= opt.OlderThan {
			uploads = append(uploads, u)
			out = append(out, Garbage{Kind: "upload", Key: u.Key, Bytes: max(u.Size, 0)})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("listing uploads of %s: %w", st.Root(), err)
	}
	if !opt.Delete {
		return out, nil
	}
	// Files before the records that name them, so that a crash leaves a
	// record that still says what is to be removed.
	for _, state := range []bool{false, true} {
		for _, g := range out {
			isState := strings.HasPrefix(g.Key, lineage.CommitsDir+"/") || strings.HasPrefix(g.Key, lineage.ClaimsDir+"/")
			if g.Kind == "upload" || isState != state {
				continue
			}
			if err := st.Delete(ctx, g.Key); err != nil {
				return out, fmt.Errorf("removing %s: %w", g.Key, err)
			}
		}
	}
	for _, u := range uploads {
		if err := store.AbortUpload(ctx, st, u); err != nil {
			return out, fmt.Errorf("removing upload of %s: %w", u.Key, err)
		}
	}
	return out, nil
}
