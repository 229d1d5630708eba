package runner

import (
	"bytes"
	"cmp"
	"container/heap"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/graph"
	"github.com/drivemill/drivemill/pipeline/lineage"
	"github.com/drivemill/drivemill/pipeline/recording"
)

// Manifest is a plan written down, so that many processes can share its work.
// It lies in the first lake of the pipeline, below the run's folder, and is
// created once: planning again under the same run id gives the same one.
type Manifest struct {
	Layout   int             `json:"layout"` // 1
	RunID    string          `json:"run_id"` // a UUID
	Name     string          `json:"name,omitempty"`
	Pipeline json.RawMessage `json:"pipeline"` // normalised: what all shards run
	// Plan is the fingerprint of the pipeline with its side data. A shard that
	// finds another one refuses to run.
	Plan   string         `json:"plan"`
	Binary lineage.Binary `json:"binary"`
	// Run is handed to the lineage events.
	Run lineage.RunInfo `json:"run"`

	Units  int     `json:"units"` // to run, over all shards
	Done   int     `json:"done"`  // found done while planning
	Bytes  int64   `json:"bytes"` // of the units to run
	Shards []Shard `json:"shards"`
	// Wholes are large recordings that could not be cut into slices, and why.
	Wholes []Whole `json:"not_cut,omitempty"`
	// DoneKey lists the units found done.
	DoneKey string `json:"done_key,omitempty"`
}

// Shard is the part of a run that one process does.
type Shard struct {
	Key   string `json:"key"` // of the list of its units
	Units int    `json:"units"`
	Bytes int64  `json:"bytes"`
}

// PlanOptions say how a run is divided.
type PlanOptions struct {
	// Name is what a scheduler calls the run; the same name plans once.
	Name string
	// Shards is the largest number of shards; 0 means as many as ShardBytes
	// makes, and 1 without that.
	Shards int
	// ShardBytes is how much a shard should read.
	ShardBytes int64
}

// MaxShards is how many children an array job of AWS Batch may have.
const MaxShards = 10_000

// runSpace is the namespace of run ids that are made from names.
var runSpace = uuid.MustParse("5d5e6ff2-5a0c-4a5c-9a39-1a6f3c6f5b0e")

// RunIDOf returns the run id for a name that a scheduler gave a run: the name
// itself where it is a UUID.
func RunIDOf(pipeline, name string) string {
	if id, err := uuid.Parse(name); err == nil {
		return id.String()
	}
	return uuid.NewSHA1(runSpace, []byte(pipeline+"\x00"+name)).String()
}

// ManifestKey is where the manifest of a run lies in the lake.
func ManifestKey(runID string) string { return lineage.RunsDir + "/" + runID + "/manifest.json" }

// HomeOf returns the lake that keeps the state of a pipeline's runs.
func HomeOf(g *graph.Graph) string { return g.Sinks()[0].Sink.Store().Root() }

// plannedUnit is a unit in the list of a shard.
type plannedUnit struct {
	Name       string             `json:"name"`
	Slot       string             `json:"slot"`
	Revision   string             `json:"revision"`
	Slice      *Slice             `json:"slice,omitempty"`
	Recordings []plannedRecording `json:"recordings,omitempty"`
}

type plannedRecording struct {
	Input      string            `json:"input"`
	URI        string            `json:"uri"`
	Root       string            `json:"root"`
	Objects    []plannedObject   `json:"objects"`
	Attributes map[string]string `json:"attributes,omitempty"`
}

type plannedObject struct {
	Key  string `json:"key"`
	URI  string `json:"uri"`
	Size int64  `json:"size"`
	ETag string `json:"etag"`
}

// Plan lists what there is to do, divides it, and writes the manifest. When
// the run has one already, that one is returned.
func (r *Runner) Plan(ctx context.Context, opt PlanOptions) (*Manifest, error) {
	if err := r.openLakes(ctx); err != nil {
		return nil, err
	}
	home := r.lakes[0]
	if m, err := readManifest(ctx, home.store, r.RunInfo.RunID); err == nil || !errors.Is(err, pipeline.ErrNotFound) {
		return m, err
	}
	units, err := r.plan(ctx)
	if err != nil {
		return nil, err
	}
	sum := &Summary{}
	todo, err := r.split(ctx, units, sum)
	if err != nil {
		return nil, err
	}
	m := &Manifest{Layout: 1, RunID: r.RunInfo.RunID, Name: opt.Name, Pipeline: r.Graph.Pipeline.Normalised(), Plan: r.Graph.PlanFingerprint(),
		Binary: r.Binary, Run: r.RunInfo, Units: len(todo), Done: len(sum.Units) - len(todo), Shards: []Shard{}, Wholes: r.Wholes}
	for i, part := range divide(todo, opt) {
		s := Shard{Units: len(part)}
		for _, u := range part {
			s.Bytes += u.Bytes()
		}
		if s.Key, err = r.writeUnits(ctx, home, fmt.Sprintf("shard-%05d", i), part, true); err != nil {
			return nil, err
		}
		m.Shards = append(m.Shards, s)
		m.Bytes += s.Bytes
	}
	var done []*Unit
	for _, u := range sum.Units {
		if u.Outcome == Skipped {
			done = append(done, u.Unit)
		}
	}
	if len(done) > 0 {
		if m.DoneKey, err = r.writeUnits(ctx, home, "done", done, false); err != nil {
			return nil, err
		}
	}
	data, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return nil, err
	}
	err = home.store.PutIfAbsent(ctx, ManifestKey(m.RunID), append(data, '\n'))
	if errors.Is(err, pipeline.ErrExists) {
		return readManifest(ctx, home.store, m.RunID)
	}
	if err != nil {
		return nil, fmt.Errorf("writing the manifest: %w", err)
	}
	return m, r.sendEvent(ctx, lineage.NewEvent("START", r.Now(), r.RunInfo))
}

// divide balances units over shards by their bytes: the largest first, each to
// the shard that has least.
func divide(todo []*UnitResult, opt PlanOptions) [][]*Unit {
	var total int64
	units := make([]*Unit, len(todo))
	for i, u := range todo {
		units[i] = u.Unit
		total += u.Unit.Bytes()
	}
	n := 1
	if opt.ShardBytes > 0 {
		n = int(min((total+opt.ShardBytes-1)/opt.ShardBytes, MaxShards))
		if opt.Shards > 0 {
			n = min(n, opt.Shards)
		}
	} else if opt.Shards > 0 {
		n = opt.Shards
	}
	n = min(max(n, 1), len(units), MaxShards)
	if n == 0 {
		return nil
	}
	slices.SortStableFunc(units, func(a, b *Unit) int { return cmp.Compare(b.Bytes(), a.Bytes()) })
	shards := make(byLoad, n)
	for i := range shards {
		shards[i] = &load{number: i}
	}
	for _, u := range units {
		least := shards[0]
		least.units = append(least.units, u)
		// A unit costs something even when it is empty.
		least.bytes += u.Bytes() + 1
		heap.Fix(&shards, 0)
	}
	out := make([][]*Unit, n)
	for _, s := range shards {
		slices.SortStableFunc(s.units, func(a, b *Unit) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Slot, b.Slot)) })
		out[s.number] = s.units
	}
	return out
}

// load is what a shard has been given.
type load struct {
	number int
	units  []*Unit
	bytes  int64
}

// byLoad is a heap of shards, the one with least to do first.
type byLoad []*load

func (h byLoad) Len() int { return len(h) }
func (h byLoad) Less(i, j int) bool {
	return h[i].bytes < h[j].bytes || h[i].bytes == h[j].bytes && h[i].number < h[j].number
}
func (h byLoad) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *byLoad) Push(x any)   { *h = append(*h, x.(*load)) }
func (h *byLoad) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

// writeUnits writes a list of units, one a line. Its name carries a hash of
// what it says, so that two processes that plan at once do not mix.
func (r *Runner) writeUnits(ctx context.Context, l *lake, name string, units []*Unit, recordings bool) (string, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	for _, u := range units {
		p := plannedUnit{Name: u.Name, Slot: u.Slot, Revision: u.Revision, Slice: u.Slice}
		for _, rec := range u.Recordings {
			if !recordings {
				break
			}
			pr := plannedRecording{Input: rec.Input.Name, URI: rec.URI, Root: rec.Store().Root(), Attributes: rec.Attributes}
			for _, o := range rec.Objects {
				pr.Objects = append(pr.Objects, plannedObject{Key: o.Key, URI: o.URI, Size: o.Size, ETag: o.ETag})
			}
			p.Recordings = append(p.Recordings, pr)
		}
		if err := enc.Encode(p); err != nil {
			return "", err
		}
	}
	key := fmt.Sprintf("%s/%s/%s-%s.ndjson", lineage.RunsDir, r.RunInfo.RunID, name, hash(revisionDigits, buf.String()))
	if err := l.store.Put(ctx, key, buf.Bytes()); err != nil {
		return "", fmt.Errorf("writing the plan: %w", err)
	}
	return key, nil
}

func readManifest(ctx context.Context, st pipeline.Store, runID string) (*Manifest, error) {
	data, err := st.Get(ctx, ManifestKey(runID))
	if err != nil {
		return nil, err
	}
	return decodeManifest(st.Root()+"/"+ManifestKey(runID), data)
}

func decodeManifest(uri string, data []byte) (*Manifest, error) {
	var m Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("manifest %s: %w: %w", uri, pipeline.ErrCorrupt, err)
	}
	if m.Layout != 1 {
		return nil, fmt.Errorf("manifest %s: layout %d: %w (written by a newer drivemill?)", uri, m.Layout, pipeline.ErrUnsupported)
	}
	return &m, nil
}

// ReadManifest reads the manifest at a URI, and returns the lake it lies in.
func ReadManifest(ctx context.Context, open func(context.Context, string) (pipeline.Store, error), uri string) (*Manifest, string, error) {
	root, rest, ok := strings.Cut(uri, "/"+lineage.RunsDir+"/")
	runID := path.Dir(rest)
	if !ok || path.Base(rest) != "manifest.json" || strings.Contains(runID, "/") {
		return nil, "", &pipeline.Issue{Message: fmt.Sprintf("%q is no manifest: it lies at LAKE/%s", uri, ManifestKey("RUN-ID"))}
	}
	st, err := open(ctx, root)
	if err != nil {
		return nil, "", err
	}
	m, err := readManifest(ctx, st, runID)
	if err != nil {
		return nil, "", fmt.Errorf("reading the manifest: %w", err)
	}
	return m, root, nil
}

// readUnits reads a list of units of the manifest.
func (r *Runner) readUnits(ctx context.Context, l *lake, key string) ([]*Unit, error) {
	data, err := l.store.Get(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("reading the plan: %w", err)
	}
	var out []*Unit
	for line := range bytes.Lines(data) {
		var p plannedUnit
		if err := json.Unmarshal(line, &p); err != nil {
			return nil, fmt.Errorf("plan %s: line %d: %w: %w", key, len(out)+1, pipeline.ErrCorrupt, err)
		}
		u := &Unit{Name: p.Name, Slot: p.Slot, Revision: p.Revision, Slice: p.Slice}
		for _, pr := range p.Recordings {
			rec, err := r.planned(ctx, pr)
			if err != nil {
				return nil, fmt.Errorf("plan %s: unit %s: %w", key, p.Name, err)
			}
			u.Recordings = append(u.Recordings, rec)
		}
		out = append(out, u)
	}
	return out, nil
}

func (r *Runner) planned(ctx context.Context, p plannedRecording) (*Recording, error) {
	for _, in := range r.Graph.Pipeline.Inputs {
		if in.Name != p.Input {
			continue
		}
		st, err := r.OpenStore(ctx, p.Root)
		if err != nil {
			return nil, err
		}
		objects := make([]pipeline.Object, len(p.Objects))
		for i, o := range p.Objects {
			objects[i] = pipeline.Object{URI: o.URI, Key: o.Key, Size: o.Size, ETag: o.ETag}
		}
		return &Recording{Recording: recording.New(st, p.URI, objects), Input: in, Attributes: p.Attributes}, nil
	}
	return nil, fmt.Errorf("there is no input %q in the pipeline: %w", p.Input, pipeline.ErrSchema)
}
