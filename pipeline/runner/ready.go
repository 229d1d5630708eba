package runner

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/config"
	"github.com/drivemill/drivemill/pipeline/store"
)

// folder is where a recording lies, with what its input waits for there.
type folder struct {
	input *config.Input
	root  string
	dir   string // empty at the root
}

// folderOf returns the folder of a recording; of a member, that of its zip.
func folderOf(rec *Recording) folder {
	key, _, _ := strings.Cut(rec.Objects[0].Key, ".zip"+store.MemberMark)
	dir := path.Dir(key)
	if dir == "." {
		dir = ""
	}
	return folder{rec.Input, rec.Store().Root(), dir}
}

func (f folder) key(name string) string { return path.Join(f.dir, name) }

// whenReady takes out units that are not complete yet by the rules of their
// inputs, and notes them as left out. What they have in the lake stays.
func (r *Runner) whenReady(ctx context.Context, units []*Unit) ([]*Unit, error) {
	places := make(map[folder]pipeline.Store)
	for _, u := range units {
		for _, rec := range u.Recordings {
			if w := rec.Input.Ready; w.Marker != "" || w.Manifest != "" {
				places[folderOf(rec)] = rec.Store()
			}
		}
	}
	var folders []folder
	for f := range places {
		folders = append(folders, f)
	}
	why := make([]string, len(folders))
	err := atOnce(len(folders), func(i int) (err error) {
		why[i], err = incomplete(ctx, places[folders[i]], folders[i])
		return err
	})
	if err != nil {
		return nil, err
	}
	waiting := make(map[folder]string)
	for i, f := range folders {
		waiting[f] = why[i]
	}
	var out []*Unit
	for _, u := range units {
		reason, err := r.unquiet(u)
		if err != nil {
			return nil, err
		}
		for _, rec := range u.Recordings {
			if reason == "" {
				reason = waiting[folderOf(rec)]
			}
		}
		if reason == "" {
			out = append(out, u)
			continue
		}
		r.left = append(r.left, LeftOut{Name: u.Name, Why: "not ready: " + reason})
	}
	return out, nil
}

// incomplete says what a folder lacks, empty for nothing.
func incomplete(ctx context.Context, st pipeline.Store, f folder) (string, error) {
	if name := f.input.Ready.Marker; name != "" {
		_, err := st.Stat(ctx, f.key(name))
		if errors.Is(err, pipeline.ErrNotFound) {
			return name + " is not there yet", nil
		}
		if err != nil {
			return "", fmt.Errorf("input %s: looking for the marker: %w", f.input.Name, err)
		}
	}
	name := f.input.Ready.Manifest
	if name == "" {
		return "", nil
	}
	data, err := st.Get(ctx, f.key(name))
	if errors.Is(err, pipeline.ErrNotFound) {
		return name + " is not there yet", nil
	}
	if err != nil {
		return "", fmt.Errorf("input %s: reading the manifest: %w", f.input.Name, err)
	}
	want, err := parseFileList(data)
	if err != nil {
		return "", fmt.Errorf("input %s: %s: %w", f.input.Name, path.Join(f.root, f.key(name)), err)
	}
	there := make(map[string]int64)
	prefix := ""
	if f.dir != "" {
		prefix = f.dir + "/"
	}
	err = st.List(ctx, prefix, func(o pipeline.Object) error {
		there[strings.TrimPrefix(o.Key, prefix)] = o.Size
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("input %s: listing %s: %w", f.input.Name, path.Join(f.root, f.dir), err)
	}
	for _, w := range want {
		switch size, ok := there[path.Clean(w.Name)]; {
		case !ok:
			return w.Name + ", which " + name + " lists, is not there yet", nil
		case w.Size != nil && *w.Size != size:
			return fmt.Sprintf("%s has %d bytes, and %d by %s", w.Name, size, *w.Size, name), nil
		}
	}
	return "", nil
}

// wantedFile is an entry of a recording's manifest.
type wantedFile struct {
	Name string `json:"name"`
	Size *int64 `json:"size"`
}

// UnmarshalJSON also takes the name alone.
func (w *wantedFile) UnmarshalJSON(data []byte) error {
	if bytes.HasPrefix(data, []byte(`"`)) {
		return json.Unmarshal(data, &w.Name)
	}
	type plain wantedFile
	return json.Unmarshal(data, (*plain)(w))
}

// parseFileList reads a recording's manifest: a name a line, a JSON array, or
// an object whose files is one. Entries are names, or objects with name and
// perhaps size.
func parseFileList(data []byte) ([]wantedFile, error) {
	var out []wantedFile
	switch text := bytes.TrimSpace(data); {
	case bytes.HasPrefix(text, []byte("[")):
		if err := json.Unmarshal(text, &out); err != nil {
			return nil, fmt.Errorf("%w: %w", pipeline.ErrCorrupt, err)
		}
	case bytes.HasPrefix(text, []byte("{")):
		var list struct {
			Files []wantedFile `json:"files"`
		}
		if err := json.Unmarshal(text, &list); err != nil {
			return nil, fmt.Errorf("%w: %w", pipeline.ErrCorrupt, err)
		}
		out = list.Files
	default:
		for line := range bytes.Lines(text) {
			if name := string(bytes.TrimSpace(line)); name != "" {
				out = append(out, wantedFile{Name: name})
			}
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("it lists no files: %w", pipeline.ErrCorrupt)
	}
	for _, w := range out {
		if w.Name == "" {
			return nil, fmt.Errorf("an entry has no name: %w", pipeline.ErrCorrupt)
		}
	}
	return out, nil
}

// unquiet says which object of a unit changed too short a time ago, empty for
// none.
func (r *Runner) unquiet(u *Unit) (string, error) {
	var quiet time.Duration
	var newest pipeline.Object
	for _, rec := range u.Recordings {
		quiet = max(quiet, rec.Input.Ready.Quiet)
		for _, o := range rec.Objects {
			if rec.Input.Ready.Quiet > 0 && o.Modified.IsZero() {
				return "", fmt.Errorf("input %s: it is not known when %s changed, so that it cannot be told whether it is quiet: %w", rec.Input.Name, o.URI, pipeline.ErrUnsupported)
			}
			if o.Modified.After(newest.Modified) {
				newest = o
			}
		}
	}
	if quiet == 0 {
		return "", nil
	}
	if age := r.Now().Sub(newest.Modified); age < quiet {
		return fmt.Sprintf("%s changed %s ago, wanted are %s of quiet", newest.URI, max(age, 0).Round(time.Second), quiet), nil
	}
	return "", nil
}
