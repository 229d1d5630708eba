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

// LivesConfig is the configuration of drive_lives.
type LivesConfig struct {
	Pos           pipeline.Pos
	FailurePolicy string `yaml:"failure_policy" default:"last" enum:"first,last" doc:"first: a life ends with the first failure. last: it ends on the last day, and failed only if that is a failure"`
}

// LivesSpec announces the stage drive_lives.
func LivesSpec() pipeline.StageSpec {
	return pipeline.StageSpec{
		Name:    "drive_lives",
		Summary: "make one row for each drive: its days, its ages, and whether it failed",
		Doc: "Takes rows of drives in the order of days, drive by drive, and gives the table drive_lives: first and last day, hours in service on both (SMART 9), failed or still there, " +
			"drive days, days missing in between, and the last values seen. A drive is model_norm and serial_number.",
		Example: `pipeline: lives
inputs:
  drives: {uri: "testdata/drivestats/*.csv", format: drivestats}
stages:
  known: {use: drive_models, from: drives}
  lives: {use: drive_lives, from: known}
outputs:
  lake: {use: parquet, from: lives, uri: lake, partition: []}
`,
		Behaviour: 1,
		Config:    func() any { return new(LivesConfig) },
		New: func(_ context.Context, config any, _ pipeline.Env) (pipeline.Stage, error) {
			return pipeline.Tables(&livesStage{*config.(*LivesConfig)}), nil
		},
	}
}

// LivesTable is the name of the table that drive_lives makes.
const LivesTable = "drive_lives"

var livesFields = []arrow.Field{
	cells.Field("serial_number", arrow.StringType, ""),
	cells.Field("model_norm", arrow.StringType, "one name for a product"),
	cells.Field("model", arrow.StringType, "model as reported last"),
	cells.Field("maker", arrow.StringType, ""),
	cells.Field("drive_class", arrow.StringType, "as of the last day"),
	cells.Field("capacity_bytes", arrow.Int64Type, "last one that can be believed"),
	cells.Field("datacenter", arrow.StringType, "last one known"),
	cells.Field("vault_id", arrow.StringType, "last one known"),
	cells.Field("first_day", arrow.Date32Type, ""),
	cells.Field("last_day", arrow.Date32Type, "of the life"),
	cells.Field("entry_hours", arrow.Int64Type, "hours in service on first_day, reckoned from the first day that tells"),
	cells.Field("exit_hours", arrow.Int64Type, "hours in service at the end of last_day: entry_hours and 24 for each day since, last_day included"),
	cells.Field("last_hours", arrow.Int64Type, "hours in service that the drive reported last"),
	cells.Field("failed", arrow.BoolType, "whether the life ended with a failure"),
	cells.Field("failures", arrow.Int64Type, "days marked as failure, all of them"),
	cells.Field("drive_days", arrow.Int64Type, "rows, until the end of the life"),
	cells.Field("missing_days", arrow.Int64Type, "days without a row between first_day and last_day"),
	cells.Field("rows_after", arrow.Int64Type, "rows after the life ended by failure_policy"),
}

var livesWants = []cells.Want{
	{Name: "date"}, {Name: "serial_number", Text: true}, {Name: "model_norm", Text: true}, {Name: "model", Text: true}, {Name: "maker", Text: true},
	{Name: "drive_class", Text: true}, {Name: "capacity_clean"}, {Name: "datacenter", Text: true, Optional: true}, {Name: "vault_id", Text: true, Optional: true},
	{Name: "failure"}, {Name: "smart_9_raw"},
}

type livesStage struct{ LivesConfig }

// BindTable implements pipeline.TableStage.
func (s *livesStage) BindTable(in *pipeline.Table) (*pipeline.TableBinding, error) {
	at, err := cells.Find(in, s.Pos, "drive_lives", livesWants)
	if err != nil {
		return nil, err
	}
	out := cells.Made(in, at, LivesTable, livesFields)
	return &pipeline.TableBinding{Outputs: []pipeline.Output{out}, Open: func(opt pipeline.ProcessOptions) (pipeline.Processor, error) {
		return &lives{first: s.FailurePolicy == "first", opt: opt, read: cells.NewReader(livesWants, at),
			out: cells.NewWriter(opt.Allocator, out.Table), drives: make(map[drive]*life)}, nil
	}}, nil
}

// drive tells drives apart, by numbers of lives.names.
type drive struct{ model, serial uint32 }

// life is what is known of a drive.
type life struct {
	firstDay, lastDay                      int32
	entry, last                            int32 // hours, or unknown
	days, failures, after                  int32
	capacity                               int64
	model, maker, class, datacenter, vault uint32
	ended, lastFailed                      bool
}

const unknown = -1

// lives collects the drives of one unit.
type lives struct {
	first  bool
	opt    pipeline.ProcessOptions
	read   *cells.Reader
	out    *cells.Writer
	drives map[drive]*life
	names  cells.Names // of everything but serial numbers
	serial cells.Names
	at     drive
	now    *life // of at
}

func (l *lives) Process(_ context.Context, b *pipeline.Batch, acct *pipeline.Account, _ pipeline.Emit) error {
	defer b.Release()
	l.read.Load(b.Record)
	for i := range b.Rows() {
		if l.read.Ints[0].Null(i) || l.read.Ints[9].Null(i) {
			column := "date"
			if !l.read.Ints[0].Null(i) {
				column = "failure"
			}
			if err := l.opt.Refuse(acct, b, i, column, "no_"+column, errors.New("the row has no "+column)); err != nil {
				return err
			}
			continue
		}
		if err := l.add(i); err != nil {
			return fmt.Errorf("table %s: row %d: %w", b.Table.Name, b.Origin.At(i), err)
		}
		acct.Absorbed++
	}
	return nil
}

func (l *lives) add(i int) error {
	r := l.read
	day := int32(r.Ints[0].At(i))
	k := drive{l.names.Number(r.Texts[2].At(i)), l.serial.Number(r.Texts[1].At(i))}
	if l.now == nil || k != l.at {
		v := l.drives[k]
		if v == nil {
			v = &life{firstDay: day, lastDay: day - 1, entry: unknown, last: unknown, capacity: unknown}
			l.drives[k] = v
		}
		l.at, l.now = k, v
	}
	v := l.now
	if day <= v.lastDay {
		return fmt.Errorf("drive %s is there on day %d after day %d: sort by date, and dedupe, before: %w", r.Texts[1].At(i), day, v.lastDay, pipeline.ErrSchema)
	}
	failed := r.Ints[9].At(i) != 0
	if failed {
		v.failures++
	}
	if v.ended {
		v.after++
		return nil
	}
	v.lastDay = day
	v.days++
	v.lastFailed = failed
	v.ended = failed && l.first
	if hours, ok := fleet.Hours(r.Ints[10].At(i)); ok && !r.Ints[10].Null(i) {
		if v.entry == unknown {
			v.entry = max(0, int32(hours)-24*(day-v.firstDay))
		}
		v.last = int32(hours)
	}
	v.model, v.maker, v.class = l.names.Number(r.Texts[3].At(i)), l.names.Number(r.Texts[4].At(i)), l.names.Number(r.Texts[5].At(i))
	if !r.Ints[6].Null(i) {
		v.capacity = r.Ints[6].At(i)
	}
	if !r.Texts[7].Null(i) {
		v.datacenter = l.names.Number(r.Texts[7].At(i))
	}
	if !r.Texts[8].Null(i) {
		v.vault = l.names.Number(r.Texts[8].At(i))
	}
	return nil
}

// Flush gives the drives by model and serial number.
func (l *lives) Flush(_ context.Context, acct *pipeline.Account, emit pipeline.Emit) error {
	keys := make([]drive, 0, len(l.drives))
	for k := range l.drives {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b drive) int {
		return cmp.Or(cmp.Compare(l.names.Text(a.model), l.names.Text(b.model)), cmp.Compare(l.serial.Text(a.serial), l.serial.Text(b.serial)))
	})
	for _, k := range keys {
		v, w := l.drives[k], l.out.Columns
		cells.Text(w[0], l.serial.Text(k.serial))
		for j, id := range []uint32{k.model, v.model, v.maker, v.class} {
			cells.Text(w[1+j], l.names.Text(id))
		}
		cells.Maybe(w[5], v.capacity, v.capacity != unknown)
		cells.Text(w[6], l.names.Text(v.datacenter))
		cells.Text(w[7], l.names.Text(v.vault))
		w[8].AppendInt32(v.firstDay)
		w[9].AppendInt32(v.lastDay)
		span := int64(v.lastDay - v.firstDay)
		cells.Maybe(w[10], int64(v.entry), v.entry != unknown)
		cells.Maybe(w[11], int64(v.entry)+24*(span+1), v.entry != unknown)
		cells.Maybe(w[12], int64(v.last), v.last != unknown)
		w[13].AppendBool(v.lastFailed)
		for j, n := range []int64{int64(v.failures), int64(v.days), span + 1 - int64(v.days), int64(v.after)} {
			w[14+j].AppendInt64(n)
		}
		if err := l.out.Row(acct, emit); err != nil {
			return err
		}
	}
	return l.out.Flush(acct, emit)
}

func (l *lives) Close() { l.out.Release() }
