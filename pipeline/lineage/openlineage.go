package lineage

import (
	"encoding/json"
	"fmt"
	"net/url"
	"path"
	"sort"
	"strings"
	"time"
)

// Producer identifies drivemill in OpenLineage events.
const Producer = "https://github.com/drivemill/drivemill"

const specURL = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"

// Event is an OpenLineage RunEvent (OpenLineage spec 2-0-2).
type Event struct {
	EventType string         `json:"eventType"` // START, RUNNING, COMPLETE, FAIL, ABORT
	EventTime time.Time      `json:"eventTime"`
	Run       EventRun       `json:"run"`
	Job       EventJob       `json:"job"`
	Inputs    []EventDataset `json:"inputs"`
	Outputs   []EventDataset `json:"outputs"`
	Producer  string         `json:"producer"`
	SchemaURL string         `json:"schemaURL"`
}

// EventRun is the run of an event.
type EventRun struct {
	RunID  string            `json:"runId"` // a UUID
	Facets map[string]*Facet `json:"facets,omitempty"`
}

// EventJob is the job of an event.
type EventJob struct {
	Namespace string            `json:"namespace"`
	Name      string            `json:"name"`
	Facets    map[string]*Facet `json:"facets,omitempty"`
}

// EventDataset is an input or output of an event.
type EventDataset struct {
	Namespace    string            `json:"namespace"`
	Name         string            `json:"name"`
	Facets       map[string]*Facet `json:"facets,omitempty"`
	InputFacets  map[string]*Facet `json:"inputFacets,omitempty"`
	OutputFacets map[string]*Facet `json:"outputFacets,omitempty"`
}

// Facet is any facet: its schema and its own fields.
type Facet struct {
	schema string
	fields any
}

// MarshalJSON writes the fields together with _producer and _schemaURL.
func (f *Facet) MarshalJSON() ([]byte, error) {
	body, err := json.Marshal(f.fields)
	if err != nil {
		return nil, err
	}
	head, err := json.Marshal(map[string]string{"_producer": Producer, "_schemaURL": f.schema})
	if err != nil {
		return nil, err
	}
	if string(body) == "{}" {
		return head, nil
	}
	return append(append(head[:len(head)-1], ','), body[1:]...), nil
}

// facet makes a facet whose schema is in file name.json at a version, under
// the definition def.
func facet(version, name string, fields any) *Facet {
	return &Facet{schema: fmt.Sprintf("https://openlineage.io/spec/facets/%s/%s.json#/$defs/%s", version, name, name), fields: fields}
}

// RunInfo is what the events of a run have in common.
type RunInfo struct {
	RunID        string // a UUID
	Namespace    string
	Job          string
	Description  string
	Version      string
	VCS          string
	Parent       *ParentRun
	NominalStart time.Time // zero: not scheduled
	NominalEnd   time.Time
}

// ParentRun is the run that started this one, such as a task of a scheduler.
type ParentRun struct {
	Namespace, Job, RunID string
	// Root is the outermost run, where known.
	RootNamespace, RootJob, RootRunID string
}

// ParseParent reads the value of OPENLINEAGE_PARENT_ID: namespace/job/run-id.
// The namespace may itself contain slashes.
func ParseParent(s string) (*ParentRun, error) {
	parts := strings.Split(s, "/")
	if len(parts) < 3 {
		return nil, fmt.Errorf("parent %q: want namespace/job/run-id", s)
	}
	n := len(parts)
	p := &ParentRun{Namespace: strings.Join(parts[:n-2], "/"), Job: parts[n-2], RunID: parts[n-1]}
	if !IsUUID(p.RunID) {
		return nil, fmt.Errorf("parent %q: run id %q is not a UUID", s, p.RunID)
	}
	return p, nil
}

// ParentOf finds the run that started this process in the environment:
// OPENLINEAGE_CONTEXT, a JSON object of the shape
//
//	{"parent": {"run": {"runId": ...}, "job": {"namespace": ..., "name": ...}, "root": {"run": ..., "job": ...}}}
//
// or OPENLINEAGE_PARENT_ID with the outermost run in OPENLINEAGE_ROOT_PARENT_ID,
// both as ParseParent reads them. The first wins where several are set; nil
// when none is.
func ParentOf(getenv func(string) (string, bool)) (*ParentRun, error) {
	if s, _ := getenv("OPENLINEAGE_CONTEXT"); s != "" {
		p, err := parseContext(s)
		if err != nil {
			return nil, fmt.Errorf("OPENLINEAGE_CONTEXT: %w", err)
		}
		if p != nil {
			return p, nil
		}
	}
	id, _ := getenv("OPENLINEAGE_PARENT_ID")
	if id == "" {
		return nil, nil
	}
	p, err := ParseParent(id)
	if err != nil {
		return nil, fmt.Errorf("OPENLINEAGE_PARENT_ID: %w", err)
	}
	if id, _ := getenv("OPENLINEAGE_ROOT_PARENT_ID"); id != "" {
		root, err := ParseParent(id)
		if err != nil {
			return nil, fmt.Errorf("OPENLINEAGE_ROOT_PARENT_ID: %w", err)
		}
		p.RootNamespace, p.RootJob, p.RootRunID = root.Namespace, root.Job, root.RunID
	}
	return p, nil
}

// parseContext reads the parent of an OPENLINEAGE_CONTEXT; nil when it has none.
// Keys that are not known are for others.
func parseContext(s string) (*ParentRun, error) {
	type identity struct {
		Run struct {
			RunID string `json:"runId"`
		} `json:"run"`
		Job struct {
			Namespace string `json:"namespace"`
			Name      string `json:"name"`
		} `json:"job"`
	}
	var c struct {
		Parent *struct {
			identity
			Root *identity `json:"root"`
		} `json:"parent"`
	}
	if err := json.Unmarshal([]byte(s), &c); err != nil {
		return nil, fmt.Errorf("want a JSON object with parent: %w", err)
	}
	if c.Parent == nil {
		return nil, nil
	}
	check := func(what string, i identity) error {
		switch {
		case !IsUUID(i.Run.RunID):
			return fmt.Errorf("%s: run.runId %q is not a UUID", what, i.Run.RunID)
		case i.Job.Namespace == "" || i.Job.Name == "":
			return fmt.Errorf("%s: job.namespace or job.name is missing", what)
		}
		return nil
	}
	if err := check("parent", c.Parent.identity); err != nil {
		return nil, err
	}
	p := &ParentRun{Namespace: c.Parent.Job.Namespace, Job: c.Parent.Job.Name, RunID: c.Parent.Run.RunID}
	if r := c.Parent.Root; r != nil {
		if err := check("parent.root", *r); err != nil {
			return nil, err
		}
		p.RootNamespace, p.RootJob, p.RootRunID = r.Job.Namespace, r.Job.Name, r.Run.RunID
	}
	return p, nil
}

// IsUUID reports whether s has the form of a UUID.
func IsUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i, c := range []byte(s) {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if c != '-' {
				return false
			}
		} else if !strings.ContainsRune("0123456789abcdefABCDEF", rune(c)) {
			return false
		}
	}
	return true
}

// NewEvent starts an event of a run.
func NewEvent(kind string, at time.Time, r RunInfo) *Event {
	e := &Event{
		EventType: kind, EventTime: at.UTC(), Producer: Producer, SchemaURL: specURL,
		Run:    EventRun{RunID: r.RunID, Facets: map[string]*Facet{}},
		Job:    EventJob{Namespace: r.Namespace, Name: r.Job, Facets: map[string]*Facet{}},
		Inputs: []EventDataset{}, Outputs: []EventDataset{},
	}
	e.Run.Facets["processing_engine"] = facet("1-1-1", "ProcessingEngineRunFacet", map[string]string{"version": r.Version, "name": "drivemill"})
	if p := r.Parent; p != nil {
		type id struct {
			RunID string `json:"runId"`
		}
		type job struct {
			Namespace string `json:"namespace"`
			Name      string `json:"name"`
		}
		f := map[string]any{"run": id{p.RunID}, "job": job{p.Namespace, p.Job}}
		if p.RootRunID != "" {
			f["root"] = map[string]any{"run": id{p.RootRunID}, "job": job{p.RootNamespace, p.RootJob}}
		}
		e.Run.Facets["parent"] = facet("1-2-0", "ParentRunFacet", f)
	}
	if !r.NominalStart.IsZero() {
		f := map[string]string{"nominalStartTime": r.NominalStart.UTC().Format(time.RFC3339Nano)}
		if !r.NominalEnd.IsZero() {
			f["nominalEndTime"] = r.NominalEnd.UTC().Format(time.RFC3339Nano)
		}
		e.Run.Facets["nominalTime"] = facet("1-0-1", "NominalTimeRunFacet", f)
	}
	e.Job.Facets["jobType"] = facet("2-0-4", "JobTypeJobFacet", map[string]string{"processingType": "BATCH", "integration": "DRIVEMILL", "jobType": "JOB"})
	if r.Description != "" {
		e.Job.Facets["documentation"] = facet("1-1-0", "DocumentationJobFacet", map[string]string{"description": r.Description})
	}
	if r.VCS != "" {
		e.Job.Facets["sourceCodeLocation"] = facet("1-1-0", "SourceCodeLocationJobFacet", map[string]string{"type": "git", "url": Producer, "version": r.VCS})
	}
	return e
}

// Failed adds the error of a FAIL event.
func (e *Event) Failed(err error) {
	e.Run.Facets["errorMessage"] = facet("1-0-1", "ErrorMessageRunFacet", map[string]string{"message": err.Error(), "programmingLanguage": "Go"})
}

// Encode returns the event as one line of JSON.
func (e *Event) Encode() ([]byte, error) {
	b, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("encoding lineage event: %w", err)
	}
	return append(b, '\n'), nil
}

// DatasetID splits a URI of a store into the namespace and name that the
// OpenLineage naming rules give a dataset there: s3://bucket and the key, or
// "file" and the absolute path.
func DatasetID(uri string) (namespace, name string) {
	u, err := url.Parse(uri)
	if err == nil && u.Scheme != "" && u.Scheme != "file" && u.Host != "" {
		name = strings.Trim(u.Path, "/")
		if name == "" {
			name = "/"
		}
		return u.Scheme + "://" + u.Host, name
	}
	return "file", strings.TrimPrefix(uri, "file://")
}

// SumUp fills the inputs and outputs of an event: one dataset per table, never
// one per file. The commits of units done in the run count towards the
// statistics; those of units that were done before only name their datasets.
func (e *Event) SumUp(inputRoot func(input string) string, sinkRoot func(output string) string, done, before []*Commit) {
	in, out := newDatasets(), newDatasets()
	for _, c := range before {
		sumUp(in, out, inputRoot, sinkRoot, c, false)
	}
	for _, c := range done {
		sumUp(in, out, inputRoot, sinkRoot, c, true)
	}
	e.Inputs, e.Outputs = in.inputs(), out.outputs()
}

func sumUp(in, out datasets, inputRoot, sinkRoot func(string) string, c *Commit, count bool) {
	found := make(map[[2]string]int64)
	for _, s := range c.Ledger.Sources {
		found[[2]string{s.Input, s.Table}] += s.Found
	}
	for key, rows := range found {
		ns, root := DatasetID(inputRoot(key[0]))
		d := in.get(ns, path.Join(root, strings.TrimPrefix(key[1], "/")))
		if !count {
			continue
		}
		d.rows += rows
		for _, i := range c.Inputs {
			if i.Input == key[0] {
				d.files++
				d.bytes += i.Size
				d.locations[i.URI] = true
			}
		}
	}
	for _, t := range c.Tables {
		ns, root := DatasetID(sinkRoot(t.Output))
		d := out.get(ns, path.Join(root, t.Name))
		d.table, d.inputRoot = &t, inputRoot
		if !count {
			continue
		}
		d.rows += t.Rows
		for _, f := range t.Files {
			d.files++
			d.bytes += f.Bytes
			d.partitions[partitionID(f.Partition)] = f.Partition
		}
	}
}

type datasets map[[2]string]*dataset

type dataset struct {
	rows, bytes int64
	files       int
	locations   map[string]bool
	partitions  map[string]map[string]string
	table       *Table
	inputRoot   func(string) string
}

func newDatasets() datasets { return make(datasets) }

func (ds datasets) get(ns, name string) *dataset {
	k := [2]string{ns, name}
	if ds[k] == nil {
		ds[k] = &dataset{locations: make(map[string]bool), partitions: make(map[string]map[string]string)}
	}
	return ds[k]
}

func (ds datasets) keys() [][2]string {
	keys := make([][2]string, 0, len(ds))
	for k := range ds {
		keys = append(keys, k)
	}
	sort.Slice(keys, func(i, j int) bool {
		return keys[i][0] < keys[j][0] || keys[i][0] == keys[j][0] && keys[i][1] < keys[j][1]
	})
	return keys
}

// maxLocations bounds the list of input objects in an event; the commit
// records have them all.
const maxLocations = 100

func (ds datasets) inputs() []EventDataset {
	out := []EventDataset{}
	for _, k := range ds.keys() {
		d := ds[k]
		f := map[string]*Facet{
			"inputStatistics": facet("1-0-0", "InputStatisticsInputDatasetFacet", map[string]any{"rowCount": d.rows, "size": d.bytes, "fileCount": d.files}),
		}
		if len(d.locations) > 0 && len(d.locations) <= maxLocations {
			f["subset"] = subset("InputSubsetInputDatasetFacet", "inputCondition", map[string]any{"type": "location", "locations": sortedKeys(d.locations)})
		}
		out = append(out, EventDataset{Namespace: k[0], Name: k[1], InputFacets: f})
	}
	return out
}

func (ds datasets) outputs() []EventDataset {
	out := []EventDataset{}
	for _, k := range ds.keys() {
		d := ds[k]
		e := EventDataset{Namespace: k[0], Name: k[1], Facets: map[string]*Facet{}, OutputFacets: map[string]*Facet{
			"outputStatistics": facet("1-0-2", "OutputStatisticsOutputDatasetFacet", map[string]any{"rowCount": d.rows, "size": d.bytes, "fileCount": d.files}),
		}}
		if d.table != nil {
			e.Facets["schema"] = schemaFacet(d.table.Columns)
			e.Facets["columnLineage"] = columnFacet(d.table, d.inputRoot)
			e.Facets["storage"] = facet("1-0-1", "StorageDatasetFacet", map[string]string{"storageLayer": "", "fileFormat": "parquet"})
		}
		if len(d.partitions) > 0 {
			parts := []any{}
			for _, id := range sortedKeys(d.partitions) {
				parts = append(parts, map[string]any{"identifier": id, "dimensions": d.partitions[id]})
			}
			e.OutputFacets["subset"] = subset("OutputSubsetOutputDatasetFacet", "outputCondition", map[string]any{"type": "partition", "partitions": parts})
		}
		out = append(out, e)
	}
	return out
}

func subset(def, key string, condition any) *Facet {
	return &Facet{schema: "https://openlineage.io/spec/facets/1-0-0/BaseSubsetDatasetFacet.json#/$defs/" + def, fields: map[string]any{key: condition}}
}

func partitionID(p map[string]string) string {
	var parts []string
	for _, k := range sortedKeys(p) {
		parts = append(parts, k+"="+p[k])
	}
	return strings.Join(parts, "/")
}

func schemaFacet(cols []Column) *Facet {
	fields := []any{}
	for i, c := range cols {
		fields = append(fields, map[string]any{"name": c.Name, "type": c.Type, "ordinal_position": i + 1})
	}
	return facet("1-2-0", "SchemaDatasetFacet", map[string]any{"fields": fields})
}

type inputField struct {
	Namespace       string           `json:"namespace"`
	Name            string           `json:"name"`
	Field           string           `json:"field"`
	Transformations []transformation `json:"transformations"`
}

type transformation struct {
	Type        string `json:"type"`
	Subtype     string `json:"subtype"`
	Description string `json:"description"`
	Masking     bool   `json:"masking"`
}

func columnFacet(t *Table, inputRoot func(string) string) *Facet {
	field := func(o Origin, tr transformation) inputField {
		var ns, name string
		if o.Dataset != "" {
			ns, name = DatasetID(o.Dataset)
		} else {
			var root string
			ns, root = DatasetID(inputRoot(o.Input))
			name = path.Join(root, strings.TrimPrefix(o.Table, "/"))
		}
		return inputField{Namespace: ns, Name: name, Field: o.Column, Transformations: []transformation{tr}}
	}
	fields := make(map[string]any)
	for _, c := range t.Columns {
		from := []inputField{}
		tr := transformation{Type: "DIRECT", Subtype: "TRANSFORMATION", Description: c.Expression}
		if c.Identity {
			tr.Subtype = "IDENTITY"
		}
		for _, o := range c.From {
			from = append(from, field(o, tr))
		}
		fields[c.Name] = map[string]any{"inputFields": from}
	}
	all := []inputField{}
	for _, o := range t.Reads {
		all = append(all, field(o, transformation{Type: "INDIRECT", Subtype: o.How}))
	}
	return facet("1-2-0", "ColumnLineageDatasetFacet", map[string]any{"fields": fields, "dataset": all})
}
