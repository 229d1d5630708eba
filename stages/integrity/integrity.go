// Package integrity is the stage that looks for what cannot be in the history of
// drives.
//
//	stages:
//	  doubts:
//	    use: integrity
//	    from: drives
//	    counters: [smart_9_raw, smart_193_raw]
//	    ranges: {smart_9_raw: 0..175200, smart_194_normalized: 0..255}
//
// Rows must come in the order of days for each drive, which is a model_norm and
// a serial_number. The table integrity has a row for each finding:
//
//	duplicate_day       the drive is there again on the same day
//	missing_days        days on which others were seen and it was not, between before and after; detail is their number
//	day_without_data    a day between the first and the last on which nobody was seen
//	resurrected         it was marked as failed on day before and is there on day after
//	rows_after_failure  detail is the number of its rows after its first failure
//	model_change        its serial number is also that of another product
//	model_spelling      it reports its model otherwise than before
//	capacity_change     it reports another capacity than before
//	counter_backwards   a counter is lower than it was
//	out_of_range        a value lies outside of its range; told once for each drive and column
//
// Nothing is changed or left out: rows that are read are absorbed, findings are
// a table of their own.
package integrity

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/stages/internal/cells"
)

// Config is the configuration of integrity.
type Config struct {
	Pos      pipeline.Pos
	Counters []pipeline.Text             `yaml:"counters" doc:"columns that never go down; without it smart_5_raw, 9, 12, 187, 193, 241 and 242, where they are there"`
	Ranges   pipeline.Map[pipeline.Text] `yaml:"ranges" doc:"range by column, as low..high, both included; without it smart_9_raw: 0..175200"`
}

// Spec announces the stage.
func Spec() pipeline.StageSpec {
	return pipeline.StageSpec{
		Name:    "integrity",
		Summary: "find what cannot be in the history of drives",
		Doc: "Gives a table of findings: days twice or missing, rows after a failure, changes of model or capacity, counters that go backwards, values out of range. " +
			"Rows must come in the order of days for each drive.",
		Example: `pipeline: doubts
inputs:
  drives: {uri: "testdata/drivestats/*.csv", format: drivestats}
stages:
  known: {use: drive_models, from: drives}
  doubts: {use: integrity, from: known, ranges: {smart_9_raw: 0..100}}
outputs:
  lake: {use: parquet, from: doubts, uri: lake, partition: []}
`,
		Behaviour: 1,
		Config:    func() any { return new(Config) },
		New: func(_ context.Context, config any, _ pipeline.Env) (pipeline.Stage, error) {
			s, err := newStage(config.(*Config))
			if err != nil {
				return nil, err
			}
			return pipeline.Tables(s), nil
		},
	}
}

// Table is the name of the table of findings.
const Table = "integrity"

var fields = []arrow.Field{
	cells.Field("kind", arrow.StringType, "what was found"),
	cells.Field("serial_number", arrow.StringType, ""),
	cells.Field("model_norm", arrow.StringType, ""),
	cells.Field("date", arrow.Date32Type, "day on which it shows"),
	cells.Field("column", arrow.StringType, "the one at fault, where it is one"),
	cells.Field("before", arrow.StringType, "value before"),
	cells.Field("after", arrow.StringType, "value found"),
	cells.Field("detail", arrow.StringType, ""),
}

// bounds of a column.
type bounds struct {
	column    string
	low, high int64
}

type stage struct {
	Config
	ranges []bounds
}

// usualCounters never go down in drives that are well.
var usualCounters = []string{"smart_5_raw", "smart_9_raw", "smart_12_raw", "smart_187_raw", "smart_193_raw", "smart_241_raw", "smart_242_raw"}

// maxRanges is how many columns a drive's marks have room for.
const maxRanges = 64

func newStage(c *Config) (*stage, error) {
	s := &stage{Config: *c}
	var issues pipeline.Issues
	for _, e := range c.Ranges.Entries {
		low, high, ok := strings.Cut(e.Value.Value, "..")
		b := bounds{column: e.Key.Value}
		var err1, err2 error
		b.low, err1 = strconv.ParseInt(low, 10, 64)
		b.high, err2 = strconv.ParseInt(high, 10, 64)
		if !ok || err1 != nil || err2 != nil || b.low > b.high {
			issues.Add(e.Value.Issuef(0, "range %q: want low..high, such as 0..100", e.Value.Value))
		}
		s.ranges = append(s.ranges, b)
	}
	if len(s.ranges) > maxRanges {
		issues.Add(&pipeline.Issue{Pos: c.Pos, Message: fmt.Sprintf("more than %d ranges", maxRanges)})
	}
	if len(c.Ranges.Entries) == 0 {
		s.ranges = []bounds{{"smart_9_raw", 0, 175200}}
	}
	return s, issues.Err()
}

// Columns that are always read, in this order.
var wants = []cells.Want{
	{Name: "date"}, {Name: "serial_number", Text: true}, {Name: "model_norm", Text: true}, {Name: "model", Text: true}, {Name: "capacity_bytes"}, {Name: "failure"},
}

// BindTable implements pipeline.TableStage.
func (s *stage) BindTable(in *pipeline.Table) (*pipeline.TableBinding, error) {
	all := append([]cells.Want(nil), wants...)
	var counters []string
	for _, c := range s.Counters {
		counters = append(counters, c.Value)
	}
	if counters == nil {
		for _, c := range usualCounters {
			if in.Column(c) >= 0 {
				counters = append(counters, c)
			}
		}
	}
	for _, c := range counters {
		all = append(all, cells.Want{Name: c})
	}
	for _, r := range s.ranges {
		all = append(all, cells.Want{Name: r.column})
	}
	at, err := cells.Find(in, s.Pos, "integrity", all)
	if err != nil {
		return nil, err
	}
	out := cells.Made(in, at, Table, fields)
	return &pipeline.TableBinding{Outputs: []pipeline.Output{out}, Open: func(opt pipeline.ProcessOptions) (pipeline.Processor, error) {
		return &checker{stage: s, opt: opt, counters: counters, read: cells.NewReader(all, at), out: cells.NewWriter(opt.Allocator, out.Table),
			drives: make(map[drive]*history), days: make(map[int32]bool), products: make(map[uint32]uint32)}, nil
	}}, nil
}

// none stands for a value that was not seen yet.
const none = math.MinInt64
