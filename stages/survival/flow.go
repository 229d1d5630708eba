package survival

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/stages/internal/cells"
	"github.com/drivemill/drivemill/stages/internal/fleet"
)

// FlowConfig is the configuration of fleet_flow.
type FlowConfig struct {
	Pos    pipeline.Pos
	By     []pipeline.Text `yaml:"by" doc:"columns of text to group by, as of the first day of a drive"`
	Period string          `yaml:"period" default:"quarter" enum:"day,month,quarter,year" doc:"what a row spans"`
}

// FlowSpec announces the stage fleet_flow.
func FlowSpec() pipeline.StageSpec {
	return pipeline.StageSpec{
		Name:    "fleet_flow",
		Summary: "count drives that were installed, failed, were removed, and returned",
		Doc: "Takes rows of drives in the order of days, drive by drive, and gives the table fleet_flow: drives at the start and end of each period, and what changed in between. " +
			"A drive is gone when it misses a day on which others were seen; drives_start + installed + returned - failed - removed = drives_end.",
		Example: `pipeline: flow
inputs:
  drives: {uri: "testdata/drivestats/*.csv", format: drivestats}
stages:
  known: {use: drive_models, from: drives}
  flow: {use: fleet_flow, from: known, by: [drive_class], period: month}
outputs:
  lake: {use: parquet, from: flow, uri: lake, partition: []}
`,
		Behaviour: 1,
		Config:    func() any { return new(FlowConfig) },
		New: func(_ context.Context, config any, _ pipeline.Env) (pipeline.Stage, error) {
			return pipeline.Tables(&flowStage{*config.(*FlowConfig)}), nil
		},
	}
}

// FlowTable is the name of the table that fleet_flow makes.
const FlowTable = "fleet_flow"

type flowStage struct{ FlowConfig }

// BindTable implements pipeline.TableStage.
func (s *flowStage) BindTable(in *pipeline.Table) (*pipeline.TableBinding, error) {
	if len(s.By) > maxBy {
		return nil, s.By[maxBy].Issuef(0, "more than %d columns to group by", maxBy)
	}
	wants := []cells.Want{{Name: "date"}, {Name: "serial_number", Text: true}, {Name: "model_norm", Text: true}, {Name: "failure"}}
	fields := []arrow.Field{
		cells.Field("period", arrow.StringType, ""),
		cells.Field("first_day", arrow.Date32Type, "first day of the period that has data"),
		cells.Field("last_day", arrow.Date32Type, "last day of the period that has data"),
	}
	for _, by := range s.By {
		wants = append(wants, cells.Want{Name: by.Value, Text: true})
		fields = append(fields, cells.Field(by.Value, arrow.StringType, "as of the first day of a drive"))
	}
	at, err := cells.Find(in, s.Pos, "fleet_flow", wants)
	if err != nil {
		return nil, err
	}
	for _, f := range [][2]string{
		{"drives_start", "drives_end of the period before"}, {"installed", "drives seen for the first time"}, {"returned", "drives that were gone and are back"},
		{"failed", "drives marked as failed"}, {"removed", "drives gone without a failure, counted on the first day without them"},
		{"drives_end", "drives on last_day that did not fail on it"},
	} {
		fields = append(fields, cells.Field(f[0], arrow.Int64Type, f[1]))
	}
	out := cells.Made(in, at, FlowTable, fields)
	return &pipeline.TableBinding{Outputs: []pipeline.Output{out}, Open: func(opt pipeline.ProcessOptions) (pipeline.Processor, error) {
		return &flow{flowStage: s, opt: opt, read: cells.NewReader(wants, at), out: cells.NewWriter(opt.Allocator, out.Table),
			drives: make(map[drive]*presence), days: make(map[int32]bool), groups: make(map[[maxBy]uint32]int32)}, nil
	}}, nil
}

// presence is where a drive was seen last.
type presence struct {
	last   int32
	group  int32
	failed bool
}

// gap is a stretch of days without a drive, or a failure that it survived.
type gap struct {
	group      int32
	last, next int32
	failed     bool
}

// noDay stands for the day on which a drive that never came back did so.
const noDay = 1<<31 - 1

type flow struct {
	*flowStage
	opt    pipeline.ProcessOptions
	read   *cells.Reader
	out    *cells.Writer
	drives map[drive]*presence
	days   map[int32]bool
	groups map[[maxBy]uint32]int32
	by     [][maxBy]uint32 // of each group
	names  cells.Names
	serial cells.Names
	gaps   []gap
	first  []gap // next is the day on which a drive was installed
}

func (f *flow) Process(_ context.Context, b *pipeline.Batch, acct *pipeline.Account, _ pipeline.Emit) error {
	defer b.Release()
	r := f.read
	r.Load(b.Record)
	for i := range b.Rows() {
		if r.Ints[0].Null(i) {
			if err := f.opt.Refuse(acct, b, i, "date", "no_date", errors.New("the row has no date")); err != nil {
				return err
			}
			continue
		}
		acct.Absorbed++
		day := int32(r.Ints[0].At(i))
		f.days[day] = true
		failed := !r.Ints[3].Null(i) && r.Ints[3].At(i) != 0
		k := drive{f.names.Number(r.Texts[2].At(i)), f.serial.Number(r.Texts[1].At(i))}
		p := f.drives[k]
		switch {
		case p == nil:
			p = &presence{group: f.group(i)}
			f.drives[k] = p
			f.first = append(f.first, gap{group: p.group, next: day})
		case day <= p.last:
			return fmt.Errorf("table %s: row %d: drive %s is there on day %d after day %d: sort by date, and dedupe, before: %w",
				b.Table.Name, b.Origin.At(i), r.Texts[1].At(i), day, p.last, pipeline.ErrSchema)
		case p.failed || day > p.last+1:
			f.gaps = append(f.gaps, gap{p.group, p.last, day, p.failed})
		}
		p.last, p.failed = day, failed
	}
	return nil
}

// group numbers the values by which a row is grouped.
func (f *flow) group(i int) int32 {
	var k [maxBy]uint32
	for j := range f.By {
		k[j] = f.names.Number(f.read.Texts[4+j].At(i))
	}
	g, ok := f.groups[k]
	if !ok {
		g = int32(len(f.by))
		f.groups[k] = g
		f.by = append(f.by, k)
	}
	return g
}

type flowCounts struct{ installed, returned, failed, removed int64 }

// Flush gives a row for each period and group, in this order.
func (f *flow) Flush(_ context.Context, acct *pipeline.Account, emit pipeline.Emit) error {
	days := make([]int32, 0, len(f.days))
	for d := range f.days {
		days = append(days, d)
	}
	slices.Sort(days)
	if len(days) == 0 {
		return nil
	}
	for _, p := range f.drives {
		f.gaps = append(f.gaps, gap{p.group, p.last, noDay, p.failed})
	}
	type place struct{ period, group int32 }
	counts := make(map[place]*flowCounts)
	at := func(day, group int32) *flowCounts {
		k := place{fleet.PeriodStart(f.Period, day), group}
		if counts[k] == nil {
			counts[k] = new(flowCounts)
		}
		return counts[k]
	}
	for _, g := range f.first {
		at(g.next, g.group).installed++
	}
	for _, g := range f.gaps {
		i, _ := slices.BinarySearch(days, g.last+1) // the next day with data
		switch {
		case g.failed:
			at(g.last, g.group).failed++
		case i == len(days) || days[i] == g.next:
			continue // still there, or nobody was seen in between
		default:
			at(days[i], g.group).removed++
		}
		if g.next != noDay {
			at(g.next, g.group).returned++
		}
	}
	order := make([]int32, len(f.by))
	for g := range order {
		order[g] = int32(g)
	}
	slices.SortFunc(order, func(a, b int32) int {
		for j := range f.By {
			if c := cmp.Compare(f.names.Text(f.by[a][j]), f.names.Text(f.by[b][j])); c != 0 {
				return c
			}
		}
		return 0
	})
	drives := make([]int64, len(f.by))
	for from := 0; from < len(days); {
		period := fleet.PeriodStart(f.Period, days[from])
		to := from + 1
		for to < len(days) && fleet.PeriodStart(f.Period, days[to]) == period {
			to++
		}
		for _, g := range order {
			n := counts[place{period, g}]
			if n == nil {
				n = new(flowCounts)
			}
			w := f.out.Columns
			w[0].AppendString(fleet.PeriodName(f.Period, period))
			w[1].AppendInt32(days[from])
			w[2].AppendInt32(days[to-1])
			for j := range f.By {
				cells.Text(w[3+j], f.names.Text(f.by[g][j]))
			}
			end := drives[g] + n.installed + n.returned - n.failed - n.removed
			for j, v := range []int64{drives[g], n.installed, n.returned, n.failed, n.removed, end} {
				w[3+len(f.By)+j].AppendInt64(v)
			}
			drives[g] = end
			if err := f.out.Row(acct, emit); err != nil {
				return err
			}
		}
		from = to
	}
	return f.out.Flush(acct, emit)
}

func (f *flow) Close() { f.out.Release() }
