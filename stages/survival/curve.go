package survival

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/stages/internal/cells"
)

// Config is the configuration of survival.
type Config struct {
	Pos        pipeline.Pos
	By         []pipeline.Text `yaml:"by" doc:"columns of drive_lives to group by: texts or integers"`
	MinAtRisk  int64           `yaml:"min_at_risk" default:"30" doc:"drives that must be at risk for the curve to begin"`
	Confidence float64         `yaml:"confidence" default:"0.95" doc:"of the intervals"`
}

// Validate checks what the tags cannot say.
func (c *Config) Validate(issues *pipeline.Issues) {
	if c.MinAtRisk < 1 {
		issues.Add(&pipeline.Issue{Pos: c.Pos, Message: "min_at_risk is 1 at the least"})
	}
	if !(c.Confidence > 0 && c.Confidence < 1) {
		issues.Add(&pipeline.Issue{Pos: c.Pos, Message: "confidence lies between 0 and 1"})
	}
}

// Spec announces the stage.
func Spec() pipeline.StageSpec {
	return pipeline.StageSpec{
		Name:    "survival",
		Summary: "estimate survival and hazard of drives by their age",
		Doc: "Takes the table of drive_lives and gives Kaplan-Meier curves of hours in service, with Greenwood's variance, and Nelson-Aalen hazards, by group. " +
			"A drive is at risk from the age at which it was first seen. A curve begins at the first age at which min_at_risk drives are at risk.",
		Example: `pipeline: curves
inputs:
  drives: {uri: "testdata/drivestats/*.csv", format: drivestats}
stages:
  known: {use: drive_models, from: drives}
  lives: {use: drive_lives, from: known}
  curves: {use: survival, from: lives, by: [drive_class], min_at_risk: 1}
outputs:
  lake: {use: parquet, from: [lives, curves], uri: lake, partition: []}
`,
		Behaviour: 1,
		Config:    func() any { return new(Config) },
		New: func(_ context.Context, config any, _ pipeline.Env) (pipeline.Stage, error) {
			return pipeline.Tables(&curveStage{*config.(*Config)}), nil
		},
	}
}

// Table is the name of the table that survival makes.
const Table = "survival"

type curveStage struct{ Config }

// BindTable implements pipeline.TableStage.
func (s *curveStage) BindTable(in *pipeline.Table) (*pipeline.TableBinding, error) {
	if len(s.By) > maxBy {
		return nil, s.By[maxBy].Issuef(0, "more than %d columns to group by", maxBy)
	}
	wants := []cells.Want{{Name: "entry_hours"}, {Name: "exit_hours"}, {Name: "failed"}}
	var fields []arrow.Field
	for _, by := range s.By {
		c := in.Column(by.Value)
		if c < 0 {
			issue := by.Issuef(0, "table %s has no column %q to group by", in.Name, by.Value)
			issue.Suggestion = pipeline.Nearest(by.Value, in.ColumnNames())
			return nil, issue
		}
		t := in.Schema.Field(c).Type
		text := cells.IsTexts(t)
		if !text && !cells.IsInts(t) {
			return nil, by.Issuef(0, "column %s is %s: only texts and integers make groups", by.Value, t)
		}
		wants = append(wants, cells.Want{Name: by.Value, Text: text})
		if text {
			t = arrow.StringType
		} else {
			t = arrow.Int64Type
		}
		fields = append(fields, cells.Field(by.Value, t, ""))
	}
	at, err := cells.Find(in, s.Pos, "survival", wants)
	if err != nil {
		return nil, err
	}
	fields = append(fields,
		cells.Field("age_hours", arrow.Int64Type, "hours in service at which drives failed; the first row of a curve is where it begins"),
		cells.Field("at_risk", arrow.Int64Type, "drives seen at this age"),
		cells.Field("failures", arrow.Int64Type, "of them, at this age"),
		cells.Field("survival", arrow.Float64Type, "share that survives, of those alive where the curve begins (Kaplan-Meier)"),
		cells.Field("std_error", arrow.Float64Type, "of survival, by Greenwood's formula"),
		cells.Field("survival_low", arrow.Float64Type, "lower bound, on the scale of log(-log(survival))"),
		cells.Field("survival_high", arrow.Float64Type, "upper bound"),
		cells.Field("cumulative_hazard", arrow.Float64Type, "sum of failures by drives at risk (Nelson-Aalen)"))
	out := cells.Made(in, at, Table, fields)
	return &pipeline.TableBinding{Outputs: []pipeline.Output{out}, Open: func(opt pipeline.ProcessOptions) (pipeline.Processor, error) {
		return &curves{curveStage: s, opt: opt, wants: wants, read: cells.NewReader(wants, at), out: cells.NewWriter(opt.Allocator, out.Table),
			groups: make(map[[maxBy]int64]*group)}, nil
	}}, nil
}

const maxBy = 8

// group is the drives of one curve.
type group struct {
	by     [maxBy]int64
	events []event
}

// event is a change of the drives at risk: one begins or ends at an age.
type event struct {
	hours  int64
	ends   bool
	failed bool
}

type curves struct {
	*curveStage
	opt    pipeline.ProcessOptions
	wants  []cells.Want
	read   *cells.Reader
	out    *cells.Writer
	names  cells.Names
	groups map[[maxBy]int64]*group
}

// badAges is the reason for which a life that ends before it begins is rejected.
const badAges = "bad_ages"

func (c *curves) Process(_ context.Context, b *pipeline.Batch, acct *pipeline.Account, _ pipeline.Emit) error {
	defer b.Release()
	c.read.Load(b.Record)
	for i := range b.Rows() {
		r := c.read
		if r.Ints[0].Null(i) || r.Ints[1].Null(i) {
			acct.Filtered++ // it has no age, and is at risk at none
			continue
		}
		entry, exit := r.Ints[0].At(i), r.Ints[1].At(i)
		if exit <= entry {
			err := fmt.Errorf("the life begins at %d hours and ends at %d", entry, exit)
			if err := c.opt.Refuse(acct, b, i, "exit_hours", badAges, err); err != nil {
				return err
			}
			continue
		}
		acct.Absorbed++
		failed := r.Ints[2].At(i) != 0 && !r.Ints[2].Null(i)
		var k [maxBy]int64
		for j := range c.By {
			switch {
			case c.wants[3+j].Text:
				k[j] = int64(c.names.Number(r.Texts[3+j].At(i)))
			case r.Ints[3+j].Null(i):
				k[j] = unknown
			default:
				k[j] = r.Ints[3+j].At(i)
			}
		}
		g := c.groups[k]
		if g == nil {
			g = &group{by: k}
			c.groups[k] = g
		}
		g.events = append(g.events, event{hours: entry}, event{exit, true, failed})
	}
	return nil
}

func (c *curves) compare(a, b *group) int {
	for j := range c.By {
		v := cmp.Compare(a.by[j], b.by[j])
		if c.wants[3+j].Text {
			v = cmp.Compare(c.names.Text(uint32(a.by[j])), c.names.Text(uint32(b.by[j])))
		}
		if v != 0 {
			return v
		}
	}
	return 0
}

// Flush gives the curves group by group.
func (c *curves) Flush(_ context.Context, acct *pipeline.Account, emit pipeline.Emit) error {
	list := make([]*group, 0, len(c.groups))
	for _, g := range c.groups {
		list = append(list, g)
	}
	slices.SortFunc(list, c.compare)
	z := math.Sqrt2 * math.Erfinv(c.Confidence)
	for _, g := range list {
		for _, p := range estimate(g.events, c.MinAtRisk, z) {
			c.write(g, p)
			if err := c.out.Row(acct, emit); err != nil {
				return err
			}
		}
	}
	return c.out.Flush(acct, emit)
}

// point is one row of a curve.
type point struct {
	hours, atRisk, failures               int64
	survival, stdError, low, high, hazard float64
}

// estimate computes a curve. A drive that is seen from age a to age b is at risk
// at ages t with a < t <= b. The curve is that of drives alive at the age where
// min of them are at risk first.
func estimate(events []event, minimum int64, z float64) []point {
	slices.SortFunc(events, func(a, b event) int { return cmp.Compare(a.hours, b.hours) })
	var out []point
	atRisk := int64(0)
	survival, greenwood, hazard := 1.0, 0.0, 0.0
	for i := 0; i < len(events); {
		t := events[i].hours
		var enter, leave, failed int64
		for ; i < len(events) && events[i].hours == t; i++ {
			switch e := events[i]; {
			case !e.ends:
				enter++
			case e.failed:
				failed++
				leave++
			default:
				leave++
			}
		}
		n := atRisk
		atRisk += enter - leave
		if len(out) == 0 {
			if atRisk >= minimum {
				out = append(out, point{hours: t, atRisk: atRisk, survival: 1, low: 1, high: 1})
			}
			continue
		}
		if failed == 0 {
			continue
		}
		survival *= 1 - float64(failed)/float64(n)
		greenwood += float64(failed) / (float64(n) * float64(n-failed))
		hazard += float64(failed) / float64(n)
		p := point{hours: t, atRisk: n, failures: failed, survival: survival, stdError: survival * math.Sqrt(greenwood), hazard: hazard}
		if survival > 0 {
			l := math.Log(-math.Log(survival))
			d := z * math.Sqrt(greenwood) / math.Log(survival)
			p.low, p.high = math.Exp(-math.Exp(l-d)), math.Exp(-math.Exp(l+d))
		} else {
			p.stdError = 0
		}
		out = append(out, p)
	}
	return out
}

func (c *curves) write(g *group, p point) {
	w := c.out.Columns
	for j := range c.By {
		if c.wants[3+j].Text {
			cells.Text(w[j], c.names.Text(uint32(g.by[j])))
		} else {
			cells.Maybe(w[j], g.by[j], g.by[j] != unknown)
		}
	}
	w = w[len(c.By):]
	for j, v := range []int64{p.hours, p.atRisk, p.failures} {
		w[j].AppendInt64(v)
	}
	for j, v := range []float64{p.survival, p.stdError, p.low, p.high, p.hazard} {
		w[3+j].AppendFloat64(v)
	}
}

func (c *curves) Close() { c.out.Release() }
