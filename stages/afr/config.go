package afr

import (
	"context"
	"slices"
	"strings"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/stages/internal/cells"
	"github.com/drivemill/drivemill/stages/internal/fleet"
)

// Config is the configuration of afr.
type Config struct {
	Pos           pipeline.Pos
	By            []pipeline.Text `yaml:"by" doc:"columns to group by: model, model_norm, maker, drive_class, capacity_bytes, datacenter, vault_id, age_years; without any, the whole fleet"`
	Period        string          `yaml:"period" default:"quarter" enum:"day,month,quarter,year,lifetime" doc:"what a row spans"`
	Preset        string          `yaml:"preset" enum:"2016,2022,2025Q,lifetime" doc:"thresholds of published reports, in place of those below"`
	MinDrives     int64           `yaml:"min_drives" doc:"drives that a model must have in the period"`
	DrivesAt      string          `yaml:"drives_at" default:"end" enum:"start,end,any" doc:"when min_drives is counted: on the first or last day that has data, or on any day"`
	MinDriveDays  int64           `yaml:"min_drive_days" doc:"drive days that a model must have in the period"`
	Strict        bool            `yaml:"strict" doc:"a model must have more than the thresholds say, not as much"`
	Classes       []pipeline.Text `yaml:"classes" doc:"classes that count; all without it, or data_hdd with a preset"`
	ExcludeModels []pipeline.Text `yaml:"exclude_models" doc:"models (model or model_norm) that do not count"`
	FailurePolicy string          `yaml:"failure_policy" default:"as_published" enum:"as_published,first,last" doc:"which failures of a drive count"`
	Confidence    float64         `yaml:"confidence" default:"0.95" doc:"of the intervals"`
	Against       string          `yaml:"against" doc:"value of the only column in by that rates are compared with"`
}

// presets are thresholds by name.
var presets = map[string]Config{
	"2016":     {MinDrives: 45, DrivesAt: "end"},
	"2022":     {MinDrives: 60, DrivesAt: "end"},
	"2025Q":    {MinDrives: 100, DrivesAt: "start", MinDriveDays: 10_000, Strict: true},
	"lifetime": {MinDrives: 500, DrivesAt: "end", MinDriveDays: 100_000, Strict: true},
}

// dimensions are the columns to group by, and where a cube has them.
var dimensions = map[string]struct {
	want int // in cubeWants
	typ  arrow.DataType
}{
	"model": {1, arrow.StringType}, "model_norm": {2, arrow.StringType}, "maker": {3, arrow.StringType}, "drive_class": {4, arrow.StringType},
	"capacity_bytes": {5, arrow.Int64Type}, "datacenter": {6, arrow.StringType}, "vault_id": {7, arrow.StringType}, "age_years": {8, arrow.Int64Type},
}

// Validate checks what the tags cannot say.
func (c *Config) Validate(issues *pipeline.Issues) {
	bad := func(message string) { issues.Add(&pipeline.Issue{Pos: c.Pos, Message: message}) }
	seen := make(map[string]bool)
	for _, by := range c.By {
		if _, ok := dimensions[by.Value]; !ok {
			issue := by.Issuef(0, "rates cannot be grouped by %q", by.Value)
			names := make([]string, 0, len(dimensions))
			for n := range dimensions {
				names = append(names, n)
			}
			slices.Sort(names)
			issue.Suggestion = pipeline.Nearest(by.Value, names)
			issues.Add(issue)
		}
		if seen[by.Value] {
			issues.Add(by.Issuef(0, "%q is there twice", by.Value))
		}
		seen[by.Value] = true
	}
	for _, class := range c.Classes {
		known := []string{fleet.DataHDD, fleet.BootHDD, fleet.BootSSD}
		if !slices.Contains(known, class.Value) {
			issues.Add(class.Issuef(0, "there is no class %q: want %s", class.Value, strings.Join(known, ", ")))
		}
	}
	if c.Preset != "" && (c.MinDrives != 0 || c.MinDriveDays != 0 || c.Strict) {
		bad("a preset has thresholds of its own: leave out min_drives, min_drive_days and strict")
	}
	if c.MinDrives < 0 || c.MinDriveDays < 0 {
		bad("thresholds are not negative")
	}
	if !(c.Confidence > 0 && c.Confidence < 1) {
		bad("confidence lies between 0 and 1")
	}
	if c.Against != "" && len(c.By) != 1 {
		bad("against compares values of one column: by must have just one")
	}
}

// Spec announces the stage.
func Spec() pipeline.StageSpec {
	return pipeline.StageSpec{
		Name:    "afr",
		Summary: "compute annualised failure rates with exact intervals",
		Doc: "Takes the table of drive_days and gives drive days, failures, rate and exact Poisson interval by any of its columns and by period, with drive counts and average age. " +
			"Thresholds, presets of published reports, classes and exclude_models leave models out; what they left out is in rows of its own, with the reason. " +
			"failure_policy says which failures of a drive count, against compares rates with that of one group.",
		Example: `pipeline: rates
inputs:
  drives: {uri: "testdata/drivestats/*.csv", format: drivestats}
stages:
  known: {use: drive_models, from: drives}
  cube: {use: drive_days, from: known}
  rates: {use: afr, from: cube, by: [model_norm], period: quarter, min_drives: 2}
outputs:
  lake: {use: parquet, from: rates, uri: lake, partition: []}
`,
		Behaviour: 1,
		Config:    func() any { return new(Config) },
		New: func(_ context.Context, config any, _ pipeline.Env) (pipeline.Stage, error) {
			c := *config.(*Config)
			if p, ok := presets[c.Preset]; ok {
				c.MinDrives, c.DrivesAt, c.MinDriveDays, c.Strict = p.MinDrives, p.DrivesAt, p.MinDriveDays, p.Strict
				if c.Classes == nil {
					c.Classes = []pipeline.Text{{Value: fleet.DataHDD}}
				}
			}
			return pipeline.Tables(&stage{c}), nil
		},
	}
}

// Table is the name of the table that afr makes.
const Table = "afr"

type stage struct{ Config }

// BindTable implements pipeline.TableStage.
func (s *stage) BindTable(in *pipeline.Table) (*pipeline.TableBinding, error) {
	at, err := cells.Find(in, s.Pos, "afr", cubeWants)
	if err != nil {
		return nil, err
	}
	out := cells.Made(in, at, Table, s.fields())
	return &pipeline.TableBinding{Outputs: []pipeline.Output{out}, Open: func(opt pipeline.ProcessOptions) (pipeline.Processor, error) {
		return &rates{stage: s, read: cells.NewReader(cubeWants, at), out: cells.NewWriter(opt.Allocator, out.Table),
			rows: make(map[rowKey]*row), periods: make(map[int32]*period), models: make(map[modelDay]int64)}, nil
	}}, nil
}

func (s *stage) fields() []arrow.Field {
	f := []arrow.Field{
		cells.Field("period", arrow.StringType, "day, month, quarter or year, or lifetime"),
		cells.Field("first_day", arrow.Date32Type, "first day of the period that has data"),
		cells.Field("last_day", arrow.Date32Type, "last day of the period that has data"),
		cells.Field("data_days", arrow.Int64Type, "days of the period that have data"),
		cells.Field("provisional", arrow.BoolType, "whether the period reaches into the newest quarter of the data"),
	}
	for _, by := range s.By {
		f = append(f, cells.Field(by.Value, dimensions[by.Value].typ, ""))
	}
	f = append(f,
		cells.Field("excluded", arrow.StringType, "why the drives of this row do not count; null where they do"),
		cells.Field("excluded_model", arrow.StringType, "their model"),
		cells.Field("drive_count", arrow.Int64Type, "drives on last_day"),
		cells.Field("drive_count_start", arrow.Int64Type, "drives on first_day"),
		cells.Field("drive_days", arrow.Int64Type, ""),
		cells.Field("failures", arrow.Int64Type, ""),
		cells.Field("failures_ignored", arrow.Int64Type, "failures that failure_policy leaves out"),
		cells.Field("afr", arrow.Float64Type, "failures per hundred drive years"),
		cells.Field("afr_low", arrow.Float64Type, "lower bound, exact Poisson"),
		cells.Field("afr_high", arrow.Float64Type, "upper bound, exact Poisson"),
		cells.Field("average_age_months", arrow.Float64Type, "of the drives on last_day whose time in service is known"),
	)
	if s.Against != "" {
		f = append(f,
			cells.Field("ratio", arrow.Float64Type, "rate divided by that of "+s.Against),
			cells.Field("ratio_low", arrow.Float64Type, "lower bound, exact"),
			cells.Field("ratio_high", arrow.Float64Type, "upper bound, exact; null where it is infinite"),
		)
	}
	return f
}
