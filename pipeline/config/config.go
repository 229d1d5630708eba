package config

import (
	"strings"
	"time"

	"github.com/drivemill/drivemill/pipeline"
)

// Pipeline is a decoded pipeline file.
type Pipeline struct {
	File        string
	Name        string
	Description string
	Inputs      []*Input
	Stages      []*Node
	Outputs     []*Node
	Limits      Limits
	// Reduce are the steps that run over the lake when the units are done, in
	// order. Each is a pipeline whose inputs are tables of outputs.
	Reduce []*Pipeline
	// Step is the name of a step of reduce, empty for a whole pipeline.
	Step string

	// Issues are the mistakes found while decoding, nil for none. With some,
	// the pipeline is good for finding more of them, not for running.
	Issues *pipeline.Issues
}

// Policies for rows that cannot be decoded.
const (
	FailOnBadData       = "fail"       // the unit fails
	SkipBadData         = "skip"       // the row is counted and dropped
	NullCellOnBadData   = "null_cell"  // the cell becomes null where the format can tell, else as quarantine
	QuarantineOnBadData = "quarantine" // the row is counted and kept aside as it was stored
)

// Input is a set of recordings.
type Input struct {
	Name string
	Pos  pipeline.Pos
	// Path is the dotted path of the input: inputs.drives.
	Path string

	URI         pipeline.Text           `yaml:"uri" doc:"Where the recordings are: a path or URI with globs (*, **, ?, {a,b}) and captures ({vehicle_id}), which become attributes." example:"s3://fleet-raw/{vehicle_id}/{drive_id}/*.mcap"`
	Lake        pipeline.Text           `yaml:"output" doc:"In a step of reduce, in place of uri: the files that the units have committed of tables of an output, as name.table; globs work." example:"lake.imu"`
	Format      string                  `yaml:"format" doc:"Name of the format; found out from each object when left out." example:"mcap"`
	Grouping    Grouping                `yaml:"group" fingerprint:"-" doc:"Which recordings make one unit; each alone when left out."`
	Clock       []string                `yaml:"clock" doc:"Clocks in order of preference: the first that a table has becomes its column ts. The table's own preference when left out." example:"[header, log]"`
	Tables      pipeline.Map[TableSpec] `yaml:"tables" doc:"The tables to read, by the key they are referred to; all when left out."`
	Attributes  map[string]string       `yaml:"attributes" doc:"Constant attributes, which become leading columns." example:"{campaign: winter}"`
	OnBadData   string                  `yaml:"on_bad_data" default:"quarantine" enum:"fail,skip,null_cell,quarantine" doc:"What to do with a row that cannot be decoded."`
	ClockWindow time.Duration           `yaml:"clock_window" doc:"Rows whose declared clock leaves the log time range by more than this are rejected; not checked when left out." example:"24h"`
	From        time.Time               `yaml:"from" doc:"Earliest log time, RFC 3339, inclusive." example:"2024-05-01T00:00:00Z"`
	To          time.Time               `yaml:"to" doc:"Latest log time, RFC 3339, exclusive." example:"2024-06-01T00:00:00Z"`
	Payloads    Payloads                `yaml:"payloads" doc:"What becomes of large values of binary columns, such as images: reference, inline or drop." example:"{policy: reference, above: 64KiB}"`
	Formats     section                 `yaml:"formats" doc:"Settings of formats, by the format's name." example:"{mdf4: {time_zone: Europe/Berlin}}"`
	Objects     pipeline.Text           `yaml:"objects" fingerprint:"-" doc:"A list that says which objects there are, in place of listing the store: a key or URI a line, JSON lines with key or uri, size and etag, or the manifest.json of an S3 Inventory. The uri says which of them to take, and gives the attributes." example:"s3://fleet-inventory/fleet-raw/daily/2026-03-02T01-00Z/manifest.json"`
	Ready       Ready                   `yaml:"ready" fingerprint:"-" doc:"When recordings are complete; at once when left out. Units that are not ready are left out, and named." example:"{marker: _DONE}"`
	Exclude     []pipeline.Text         `yaml:"exclude" fingerprint:"-" doc:"Globs of objects to leave out." example:"[\"**/broken_*\"]"`

	// Output and Table are Lake taken apart: the name of an output, and a name
	// or glob of its tables.
	Output, Table string
	// Group is Grouping.By as plain names.
	Group []string
	// Partial means that what decides about the tables of the input could not
	// be decoded.
	Partial bool
}

// Ready says when a recording is complete. All that is given must hold.
type Ready struct {
	Marker   string        `yaml:"marker" doc:"Name of an object in the recording's folder that is written last." example:"_DONE"`
	Manifest string        `yaml:"manifest" doc:"Name of an object in the recording's folder that lists the files which must be there: a name a line, or JSON." example:"files.json"`
	Quiet    time.Duration `yaml:"quiet" doc:"For how long no object of the unit may have changed." example:"10m"`
}

// Validate checks the rules.
func (r *Ready) Validate(issues *pipeline.Issues) {
	if r.Quiet < 0 {
		issues.Addf(pipeline.Pos{}, "ready.quiet", "must not be negative")
	}
	for _, name := range []string{r.Marker, r.Manifest} {
		if strings.HasPrefix(name, "/") || name == ".." || strings.HasPrefix(name, "../") {
			issues.Addf(pipeline.Pos{}, "ready", "%s leads out of the recording's folder", quote(name))
		}
	}
}

// FormatSettings are the settings of one format in an input.
type FormatSettings struct {
	Name string
	Pos  pipeline.Pos
	Path string
	// Config is the format's configuration, nil when it could not be decoded
	// without a mistake.
	Config any
}

// FormatSettings lists the settings of formats in the order of the file.
func (in *Input) FormatSettings() []FormatSettings { return in.Formats.formats }

// Grouping says which recordings belong together.
type Grouping struct {
	By    []pipeline.Text `yaml:"by" shorthand:"true" doc:"Attributes whose values the recordings of a unit share." example:"[vehicle_id, drive_id]"`
	Bytes pipeline.Size   `yaml:"bytes" doc:"Put recordings that are smaller into units of about this size, in order of where they lie; beside by, those with the same values." example:"1GiB"`
}

// Validate checks that something is said.
func (g *Grouping) Validate(issues *pipeline.Issues) {
	if g.Bytes < 0 || g.Bytes == 0 && len(g.By) == 0 {
		issues.Addf(pipeline.Pos{}, "group", "want by, bytes above 0, or both")
	}
}

// TableSpec selects tables of an input, and columns of them.
type TableSpec struct {
	Pos     pipeline.Pos
	Match   pipeline.Text   `yaml:"match" shorthand:"true" doc:"Name of the table in the source, or a glob whose * also matches a slash; the key itself when left out." example:"/gps/fix"`
	Columns []pipeline.Text `yaml:"columns" doc:"Columns to read; a name selects everything below it, globs work. All when left out." example:"[pose.pose.position]"`
	Type    string          `yaml:"type" doc:"Message type, which makes the columns known before a recording is read." example:"nav_msgs/Odometry"`
	// Payloads, where its policy is empty, is that of the input.
	Payloads Payloads `yaml:"payloads" doc:"What becomes of large values of binary columns; as the input says when left out." example:"inline"`
}

// Payloads says what becomes of large values of binary columns.
type Payloads struct {
	Pos    pipeline.Pos
	Policy string        `yaml:"policy" required:"true" shorthand:"true" enum:"reference,inline,drop" doc:"reference: the value is null and columns beside it tell where it lies in the recording. inline: it is kept. drop: it is null and its size stands beside it."`
	Above  pipeline.Size `yaml:"above" doc:"Values of more bytes than this are large; 64KiB when left out." example:"64KiB"`
}

// Validate checks the threshold.
func (p *Payloads) Validate(issues *pipeline.Issues) {
	if p.Above < 0 {
		issues.Addf(p.Pos, "payloads.above", "%d bytes: want 1 at the least", p.Above)
	}
}

// For returns the policy that holds for a table with spec p of an input that
// says of, and its threshold.
func (p Payloads) For(of Payloads) (policy pipeline.PayloadPolicy, above int64) {
	if p.Policy == "" {
		p = of
	}
	policy, above = pipeline.PayloadPolicy(p.Policy), int64(p.Above)
	if policy == "" {
		policy = pipeline.ReferPayloads
	}
	if above == 0 {
		above = pipeline.DefaultPayloadBytes
	}
	return policy, above
}

// Node is a stage or an output.
type Node struct {
	Name string
	Pos  pipeline.Pos
	// Path is the dotted path of the node: stages.moving.
	Path string
	// Sink tells an output from a stage.
	Sink bool

	Use  string          `yaml:"use" required:"true" doc:"Name of the component."`
	From []pipeline.Text `yaml:"from" required:"true" doc:"Where the tables come from: an input, input.table, or a stage." example:"drives.odom"`
	As   string          `yaml:"as" doc:"New name of the tables; {table} stands for the name before." example:"raw_{table}"`

	// Config is the component's configuration, nil when it could not be
	// decoded without a mistake.
	Config any
	// Partial means that use, from or as could not be decoded.
	Partial bool
}

// LoadOptions are given by the command line.
type LoadOptions struct {
	// Set holds overrides, path=value.
	Set []string
	// Env looks up a variable; nil means that none is defined.
	Env func(string) (string, bool)
}

// Input finds an input by name.
func (p *Pipeline) Input(name string) (*Input, bool) {
	for _, in := range p.Inputs {
		if in.Name == name {
			return in, true
		}
	}
	return nil, false
}

// Unmarshal parses one YAML document and decodes it into target, a pointer to
// a struct. It serves whoever reads YAML other than pipelines, by the same
// rules.
func Unmarshal(file string, data []byte, target any) error {
	var issues pipeline.Issues
	if v := Parse(file, data, LoadOptions{}, &issues); v != nil {
		Decode(v, "", target, &issues)
	}
	return issues.Err()
}
