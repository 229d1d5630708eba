package explore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// DriveDays is what a table drive_days says of each day and model. It grows
// with days and models, not with drives.
type DriveDays struct {
	seed   maphash.Seed
	cells  map[dayModel]*dayCounts
	failed map[failure]int64
}

type dayModel struct {
	day   int32
	model string
}

// detailColumns are those besides day and model whose changes are told by name.
var detailColumns = [...]string{"model", "maker", "drive_class", "capacity_bytes", "datacenter", "vault_id", "age_years"}

type dayCounts struct {
	days, failures, hours int64
	// details are sums over drives of a hash of each column's value: they are
	// the same when as many drives have each value.
	details [len(detailColumns)]uint64
}

type failure struct {
	day    int32
	model  string
	serial string
}

// NewDriveDays returns one without any day. Two are compared only if the second
// was made by Like of the first.
func NewDriveDays() *DriveDays {
	return &DriveDays{seed: maphash.MakeSeed(), cells: make(map[dayModel]*dayCounts), failed: make(map[failure]int64)}
}

// Like returns an empty one that can be compared with d.
func (d *DriveDays) Like() *DriveDays {
	n := NewDriveDays()
	n.seed = d.seed
	return n
}

// Add reads a file of a table drive_days.
func (d *DriveDays) Add(ctx context.Context, reg *pipeline.Registry, src pipeline.Source) error {
	spec, desc, err := describe(ctx, reg, src, "")
	if err != nil {
		return err
	}
	if len(desc.Tables) != 1 {
		return fmt.Errorf("%s has %d tables, want one: %w", src.Object().URI, len(desc.Tables), pipeline.ErrSchema)
	}
	columns := append([]string{"date", "model_norm", "failed_serial", "drive_days", "failures", "age_hours"}, detailColumns[:]...)
	for _, c := range columns {
		if desc.Tables[0].Table.Column(c) < 0 {
			return fmt.Errorf("%s is no table of drive days: it has no column %s: %w", src.Object().URI, c, pipeline.ErrSchema)
		}
	}
	sel := pipeline.Selection{Tables: []pipeline.TableSelection{{Table: desc.Tables[0].Table, Columns: columns}}}
	dec, err := spec.Format.Open(ctx, src, desc, sel, pipeline.DecodeOptions{Workers: 1})
	if err != nil {
		return err
	}
	defer dec.Close()
	for {
		el, err := dec.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if el.Batch == nil {
			continue
		}
		err = d.batch(el.Batch.Record)
		el.Batch.Release()
		if err != nil {
			return fmt.Errorf("%s: %w", src.Object().URI, err)
		}
	}
}

func (d *DriveDays) batch(rec arrow.Record) error {
	column := func(name string) arrow.Array { return rec.Column(rec.Schema().FieldIndices(name)[0]) }
	dates, ok := column("date").(*arrow.Date32)
	if !ok {
		return fmt.Errorf("column date is %s: %w", column("date").DataType(), pipeline.ErrSchema)
	}
	var counts [3]*arrow.Int64
	for i, name := range []string{"drive_days", "failures", "age_hours"} {
		if counts[i], ok = column(name).(*arrow.Int64); !ok {
			return fmt.Errorf("column %s is %s: %w", name, column(name).DataType(), pipeline.ErrSchema)
		}
	}
	models, serials := column("model_norm"), column("failed_serial")
	for i := range int(rec.NumRows()) {
		k := dayModel{int32(dates.Value(i)), models.ValueStr(i)}
		c := d.cells[k]
		if c == nil {
			c = &dayCounts{}
			d.cells[k] = c
		}
		days := counts[0].Value(i)
		c.days += days
		c.failures += counts[1].Value(i)
		c.hours += counts[2].Value(i)
		for j, name := range detailColumns {
			c.details[j] += maphash.String(d.seed, column(name).ValueStr(i)) * uint64(days)
		}
		if n := counts[1].Value(i); n > 0 && serials.IsValid(i) {
			d.failed[failure{k.day, k.model, serials.ValueStr(i)}] += n
		}
	}
	return nil
}

// Restated is one difference between two tables of drive days.
type Restated struct {
	// Kind is day (of a model), drive (whose failure came or went), or model
	// (all its days).
	Kind           string    `json:"kind"`
	Date           string    `json:"date,omitempty"`
	Model          string    `json:"model"`
	Serial         string    `json:"serial_number,omitempty"`
	Why            string    `json:"why"`                 // rows_added, rows_removed, failure_added, failure_removed, days_moved, or changed: columns
	DriveDays      [2]int64  `json:"drive_days,omitzero"` // before and after
	Failures       [2]int64  `json:"failures"`
	AnnualFailures []float64 `json:"afr,omitempty"` // of a model, before and after
}

// Restatement lists what differs between before and after: days, then drives,
// then models, each in order.
func Restatement(before, after *DriveDays) []Restated {
	var out []Restated
	type sum struct{ days, failures [2]int64 }
	models := make(map[string]*sum)
	moved := make(map[string]bool)
	keys := make(map[dayModel]bool)
	for side, d := range []*DriveDays{before, after} {
		for k, c := range d.cells {
			keys[k] = true
			if models[k.model] == nil {
				models[k.model] = new(sum)
			}
			models[k.model].days[side] += c.days
			models[k.model].failures[side] += c.failures
		}
	}
	none := &dayCounts{}
	for k := range keys {
		a, b := before.cells[k], after.cells[k]
		if a == nil {
			a = none
		}
		if b == nil {
			b = none
		}
		if *a == *b {
			continue
		}
		moved[k.model] = true
		out = append(out, Restated{Kind: "day", Date: dayText(k.day), Model: k.model, Why: whyMoved(a, b), DriveDays: [2]int64{a.days, b.days}, Failures: [2]int64{a.failures, b.failures}})
	}
	failures := make(map[failure][2]int64)
	for side, d := range []*DriveDays{before, after} {
		for k, n := range d.failed {
			v := failures[k]
			v[side] = n
			failures[k] = v
		}
	}
	for k, n := range failures {
		if n[0] == n[1] {
			continue
		}
		why := "failure_added"
		if n[1] < n[0] {
			why = "failure_removed"
		}
		out = append(out, Restated{Kind: "drive", Date: dayText(k.day), Model: k.model, Serial: k.serial, Why: why, Failures: n})
	}
	for model := range moved {
		s := models[model]
		r := Restated{Kind: "model", Model: model, Why: "days_moved", DriveDays: s.days, Failures: s.failures}
		if s.days[0] > 0 && s.days[1] > 0 {
			r.AnnualFailures = []float64{float64(s.failures[0]) / float64(s.days[0]) * 365 * 100, float64(s.failures[1]) / float64(s.days[1]) * 365 * 100}
		}
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b Restated) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Date, b.Date), cmp.Compare(a.Model, b.Model), cmp.Compare(a.Serial, b.Serial))
	})
	return out
}

// whyMoved says what became of the rows of a day.
func whyMoved(a, b *dayCounts) string {
	switch {
	case b.days > a.days:
		return "rows_added"
	case b.days < a.days:
		return "rows_removed"
	case b.failures > a.failures:
		return "failure_added"
	case b.failures < a.failures:
		return "failure_removed"
	}
	var names []string
	for j, name := range detailColumns {
		if a.details[j] != b.details[j] {
			names = append(names, name)
		}
	}
	if a.hours != b.hours {
		names = append(names, "age_hours")
	}
	return "changed: " + strings.Join(names, ", ")
}

func dayText(day int32) string { return time.Unix(int64(day)*86400, 0).UTC().Format(time.DateOnly) }
