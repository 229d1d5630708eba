package afr

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

// CubeConfig is the configuration of drive_days: there is nothing to set.
type CubeConfig struct {
	Pos pipeline.Pos
}

// CubeSpec announces the stage drive_days.
func CubeSpec() pipeline.StageSpec {
	return pipeline.StageSpec{
		Name:    "drive_days",
		Summary: "count drive days and failures by day, model, class, capacity, place and age",
		Doc: "Takes rows of drives, one for each drive and day, and gives the table drive_days: sums of whole numbers by date, model, model_norm, maker, drive_class, capacity_bytes, " +
			"datacenter, vault_id and age_years. A failure has a row of its own, with failed_serial. It takes its own tables too, and adds them up: a cube made of parts is the cube of the whole.",
		Example: `pipeline: cube
inputs:
  drives: {uri: "testdata/drivestats/*.csv", format: drivestats}
stages:
  known: {use: drive_models, from: drives}
  cube: {use: drive_days, from: known}
outputs:
  lake: {use: parquet, from: cube, uri: lake, partition: [month]}
`,
		Behaviour: 1,
		Config:    func() any { return new(CubeConfig) },
		New: func(_ context.Context, config any, _ pipeline.Env) (pipeline.Stage, error) {
			return pipeline.Tables(cubeStage{config.(*CubeConfig).Pos}), nil
		},
	}
}

// CubeTable is the name of the table that drive_days makes.
const CubeTable = "drive_days"

// Columns of the cube: dimensions, then sums.
var cubeFields = []arrow.Field{
	cells.Field("date", arrow.Date32Type, "day"),
	cells.Field("model", arrow.StringType, "model as reported"),
	cells.Field("model_norm", arrow.StringType, "one name for a product"),
	cells.Field("maker", arrow.StringType, "maker of the drive"),
	cells.Field("drive_class", arrow.StringType, "data_hdd, boot_hdd or boot_ssd"),
	cells.Field("capacity_bytes", arrow.Int64Type, "capacity where it can be believed"),
	cells.Field("datacenter", arrow.StringType, "site"),
	cells.Field("vault_id", arrow.StringType, "vault"),
	cells.Field("age_years", arrow.Int32Type, "whole years of 8,766 hours in service, by SMART 9"),
	cells.Field("failed_serial", arrow.StringType, "serial number, in rows of failures"),
	cells.Field("drive_days", arrow.Int64Type, "drives in service on the day"),
	cells.Field("failures", arrow.Int64Type, "drives marked as failed on the day"),
	cells.Field("age_drives", arrow.Int64Type, "drives whose time in service is known"),
	cells.Field("age_hours", arrow.Int64Type, "their hours in service, added up"),
}

// Columns that the cube is made of, and those of a cube.
var (
	rowWants = []cells.Want{
		{Name: "date"}, {Name: "model", Text: true}, {Name: "model_norm", Text: true}, {Name: "maker", Text: true}, {Name: "drive_class", Text: true},
		{Name: "capacity_clean"}, {Name: "datacenter", Text: true, Optional: true}, {Name: "vault_id", Text: true, Optional: true},
		{Name: "smart_9_raw"}, {Name: "serial_number", Text: true}, {Name: "failure"},
	}
	cubeWants = []cells.Want{
		{Name: "date"}, {Name: "model", Text: true}, {Name: "model_norm", Text: true}, {Name: "maker", Text: true}, {Name: "drive_class", Text: true},
		{Name: "capacity_bytes"}, {Name: "datacenter", Text: true}, {Name: "vault_id", Text: true},
		{Name: "age_years"}, {Name: "failed_serial", Text: true},
		{Name: "drive_days"}, {Name: "failures"}, {Name: "age_drives"}, {Name: "age_hours"},
	}
)

type cubeStage struct{ pos pipeline.Pos }

// BindTable implements pipeline.TableStage.
func (s cubeStage) BindTable(in *pipeline.Table) (*pipeline.TableBinding, error) {
	isCube := in.Column("drive_days") >= 0
	wants := rowWants
	if isCube {
		wants = cubeWants
	}
	at, err := cells.Find(in, s.pos, "drive_days", wants)
	if err != nil {
		return nil, err
	}
	out := cells.Made(in, at, CubeTable, cubeFields)
	return &pipeline.TableBinding{Outputs: []pipeline.Output{out}, Open: func(opt pipeline.ProcessOptions) (pipeline.Processor, error) {
		c := &cube{opt: opt, out: cells.NewWriter(opt.Allocator, out.Table), sums: make(map[cell]*sums), read: cells.NewReader(wants, at)}
		c.add = c.addRow
		if isCube {
			c.add = c.addCell
		}
		return c, nil
	}}, nil
}

// unknown marks a number of a cell that is null.
const unknown = -1

// cell is one combination of dimensions. Texts are numbers of cube.names.
type cell struct {
	date                                                   int32
	age                                                    int32 // or unknown
	model, norm, maker, class, datacenter, vault, serialNo uint32
	capacity                                               int64 // or unknown
}

type sums struct{ days, failures, ageDrives, ageHours int64 }

// cube adds up.
type cube struct {
	opt  pipeline.ProcessOptions
	out  *cells.Writer
	read *cells.Reader
	add  func(b *pipeline.Batch, acct *pipeline.Account, i int) error
	sums map[cell]*sums
	// Names of each text dimension.
	names [7]cells.Names
	last  cell
	into  *sums // those of last
}

func (c *cube) Process(_ context.Context, b *pipeline.Batch, acct *pipeline.Account, _ pipeline.Emit) error {
	defer b.Release()
	c.read.Load(b.Record)
	for i := range b.Rows() {
		if err := c.add(b, acct, i); err != nil {
			return err
		}
	}
	return nil
}

// Reasons for which a row does not count.
const (
	noDate     = "no_date"
	badFailure = "bad_failure"
)

// key reads the dimensions that rows and cells have in common.
func (c *cube) key(i int) cell {
	r := c.read
	k := cell{date: int32(r.Ints[0].At(i)), age: unknown, capacity: unknown}
	k.model = c.names[0].Number(r.Texts[1].At(i))
	k.norm = c.names[1].Number(r.Texts[2].At(i))
	k.maker = c.names[2].Number(r.Texts[3].At(i))
	k.class = c.names[3].Number(r.Texts[4].At(i))
	if !r.Ints[5].Null(i) {
		k.capacity = r.Ints[5].At(i)
	}
	k.datacenter = c.names[4].Number(r.Texts[6].At(i))
	k.vault = c.names[5].Number(r.Texts[7].At(i))
	return k
}

// addRow counts a drive on one day.
func (c *cube) addRow(b *pipeline.Batch, acct *pipeline.Account, i int) error {
	r := c.read
	if r.Ints[0].Null(i) {
		return c.opt.Refuse(acct, b, i, "date", noDate, errors.New("the row has no date"))
	}
	failure := r.Ints[10].At(i)
	if r.Ints[10].Null(i) || failure < 0 || failure > 1 {
		return c.opt.Refuse(acct, b, i, "failure", badFailure, fmt.Errorf("failure is %d, want 0 or 1", failure))
	}
	k := c.key(i)
	add := sums{days: 1, failures: failure}
	if hours, ok := fleet.Hours(r.Ints[8].At(i)); ok && !r.Ints[8].Null(i) {
		k.age = int32(hours / fleet.HoursPerYear)
		add.ageDrives, add.ageHours = 1, hours
	}
	if failure == 1 {
		k.serialNo = c.names[6].Number(r.Texts[9].At(i))
	}
	c.count(k, add)
	acct.Absorbed++
	return nil
}

// addCell adds a row of another cube.
func (c *cube) addCell(_ *pipeline.Batch, acct *pipeline.Account, i int) error {
	r := c.read
	k := c.key(i)
	if !r.Ints[8].Null(i) {
		k.age = int32(r.Ints[8].At(i))
	}
	k.serialNo = c.names[6].Number(r.Texts[9].At(i))
	c.count(k, sums{r.Ints[10].At(i), r.Ints[11].At(i), r.Ints[12].At(i), r.Ints[13].At(i)})
	acct.Absorbed++
	return nil
}

func (c *cube) count(k cell, add sums) {
	if c.into == nil || k != c.last {
		into := c.sums[k]
		if into == nil {
			into = new(sums)
			c.sums[k] = into
		}
		c.last, c.into = k, into
	}
	c.into.days += add.days
	c.into.failures += add.failures
	c.into.ageDrives += add.ageDrives
	c.into.ageHours += add.ageHours
}

// Flush gives the cells in the order of their columns.
func (c *cube) Flush(_ context.Context, acct *pipeline.Account, emit pipeline.Emit) error {
	keys := make([]cell, 0, len(c.sums))
	for k := range c.sums {
		keys = append(keys, k)
	}
	text := func(i int, a, b uint32) int {
		if a == b {
			return 0
		}
		return cmp.Compare(c.names[i].Text(a), c.names[i].Text(b))
	}
	slices.SortFunc(keys, func(a, b cell) int {
		return cmp.Or(cmp.Compare(a.date, b.date), text(1, a.norm, b.norm), text(0, a.model, b.model), text(2, a.maker, b.maker), text(3, a.class, b.class),
			cmp.Compare(a.capacity, b.capacity), text(4, a.datacenter, b.datacenter), text(5, a.vault, b.vault), cmp.Compare(a.age, b.age), text(6, a.serialNo, b.serialNo))
	})
	for _, k := range keys {
		s, w := c.sums[k], c.out.Columns
		w[0].AppendInt32(k.date)
		for j, id := range []uint32{k.model, k.norm, k.maker, k.class} {
			cells.Text(w[1+j], c.names[j].Text(id))
		}
		cells.Maybe(w[5], k.capacity, k.capacity != unknown)
		cells.Text(w[6], c.names[4].Text(k.datacenter))
		cells.Text(w[7], c.names[5].Text(k.vault))
		cells.Maybe(w[8], int64(k.age), k.age != unknown)
		cells.Text(w[9], c.names[6].Text(k.serialNo))
		for j, v := range []int64{s.days, s.failures, s.ageDrives, s.ageHours} {
			w[10+j].AppendInt64(v)
		}
		if err := c.out.Row(acct, emit); err != nil {
			return err
		}
	}
	return c.out.Flush(acct, emit)
}

func (c *cube) Close() { c.out.Release() }
