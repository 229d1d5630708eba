package runner

import (
	"context"
	"errors"
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

// lakeFile ends the key of what a unit writes: slot, revision and part, or the
// number of an object in a directory of slot and revision.
var lakeFile = regexp.MustCompile(`(^|/)[0-9a-f]{16}([0-9a-f]{8})?-[0-9a-f]{12}(-[0-9]{5}\.(parquet|mp4)|/[0-9]{12}\.(png|jpg))$`)

// refersTo reports whether one of keys is key, or the directory it lies in.
func refersTo(keys map[string]bool, key string) bool {
	return keys[key] || keys[path.Dir(key)+"/"]
}

// CollectGarbage finds what no commit record in force refers to: files of
// superseded revisions, files without any record (of a process that died
// before its claim), and uploads that were never completed. Files of a claim
// that may still be committed are left alone, and so is whatever does not
// carry the name of a lake file, or lies in another lake below this one.
//
// A place that holds no state of drivemill is not a lake, and nothing there is
// touched: seen from a directory above a lake, or from one of its tables, all
// its files would be orphans.
func CollectGarbage(ctx context.Context, st pipeline.Store, opt GCOptions) ([]Garbage, error) {
	// Files come before the claims and records that name them: a file that is
	// seen here and belongs to a run that goes on has its claim by then.
	objects, err := lakeObjects(ctx, st)
	if err != nil {
		return nil, err
	}
	live, old, err := references(ctx, st)
	if err != nil {
		return nil, err
	}
	var out []Garbage
	for _, o := range objects.files {
		switch {
		case refersTo(live, o.Key) || objects.elsewhere(o.Key):
		case refersTo(old, o.Key):
			out = append(out, Garbage{Kind: "superseded", Key: o.Key, Bytes: o.Size})
		case lakeFile.MatchString(o.Key), strings.HasPrefix(o.Key, lineage.QuarantineDir+"/"):
			out = append(out, Garbage{Kind: "orphan", Key: o.Key, Bytes: o.Size})
		}
	}
	var uploads []store.Upload
	err = store.Uploads(ctx, st, func(u store.Upload) error {
		if opt.Now().Sub(u.Started) >= opt.OlderThan && !objects.elsewhere(u.Key) {
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

// objects are what gc looks at in a lake.
type objects struct {
	files  []pipeline.Object // files of units, and all state but events
	nested []string          // prefixes of other lakes
}

// elsewhere reports whether a key belongs to another lake.
func (l *objects) elsewhere(key string) bool {
	for _, n := range l.nested {
		if strings.HasPrefix(key, n) {
			return true
		}
	}
	return false
}

func lakeObjects(ctx context.Context, st pipeline.Store) (*objects, error) {
	l := &objects{}
	state := false
	err := st.List(ctx, "", func(o pipeline.Object) error {
		switch at := strings.Index(o.Key, "/"+lineage.StateDir+"/"); {
		case at >= 0:
			if n := o.Key[:at+1]; len(l.nested) == 0 || l.nested[len(l.nested)-1] != n {
				l.nested = append(l.nested, n)
			}
		case strings.HasPrefix(o.Key, lineage.StateDir+"/"):
			state = true
			if !strings.HasPrefix(o.Key, lineage.RunsDir+"/") {
				l.files = append(l.files, o)
			}
		case lakeFile.MatchString(o.Key):
			l.files = append(l.files, o)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w", st.Root(), err)
	}
	if !state {
		return nil, fmt.Errorf("%s is not a lake: there is nothing in %s/: %w", st.Root(), lineage.StateDir, pipeline.ErrNotFound)
	}
	return l, nil
}

// references collects the keys that are in force, or may come into force, and
// those that were replaced, with the records and claims themselves.
func references(ctx context.Context, st pipeline.Store) (live, old map[string]bool, err error) {
	l := &lake{root: st.Root(), store: st}
	if err := l.load(ctx); err != nil {
		return nil, nil, err
	}
	live, old = make(map[string]bool), make(map[string]bool)
	for _, slot := range sortedSlots(l.commits) {
		ks := l.commits[slot]
		for i, k := range ks {
			c, err := l.read(ctx, k)
			if errors.Is(err, pipeline.ErrNotFound) && i < len(ks)-1 {
				continue // a run sweeps at the same time
			}
			if err != nil {
				return nil, nil, err
			}
			into := live
			if i < len(ks)-1 {
				into = old
			}
			into[k.String()], into[k.ClaimKey()] = true, true
			for _, key := range c.Keys() {
				into[key] = true
			}
		}
	}
	for _, k := range l.claims {
		if live[k.ClaimKey()] || old[k.ClaimKey()] {
			continue
		}
		c, err := l.readClaim(ctx, k.ClaimKey())
		if err != nil {
			return nil, nil, err
		}
		if c == nil {
			continue
		}
		into := live
		if newest, done := l.newest(k.Slot); done && k.Sequence < newest.Sequence {
			into = old
		}
		into[k.ClaimKey()] = true
		for _, key := range c.Keys {
			into[key] = true
		}
	}
	return live, old, nil
}
