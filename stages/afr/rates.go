package afr

import (
	"cmp"
	"context"
	"slices"
	"strconv"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/stages/internal/cells"
	"github.com/drivemill/drivemill/stages/internal/fleet"
)

// maxBy is how many columns there are to group by.
const maxBy = 8

// rowKey is one combination of what afr tells apart while it adds up: models
// stay apart until it is known which of them count. Texts are numbers of
// rates.names, capacities and ages are themselves, null is unknown.
type rowKey struct {
	period int32 // its first day, or 0 for a lifetime
	model  uint32
	class  uint32
	banned bool // by exclude_models
	by     [maxBy]int64
}

// row adds up drives of one key.
type row struct {
	days, failures, ignored int64
	// Drives on the first and last day that this row has; whether these are
	// the first and last of the period is known at the end.
	first, last         int32
	atFirst, atLast     int64
	ageDrives, ageHours int64 // on the last day
	serials             []failed
}

// failed is a failure whose drive is known.
type failed struct {
	date   int32
	model  uint32
	serial uint32
	n      int64
}

// period is what is known of the days of one period.
type period struct {
	first, last int32
	days        map[int32]bool
}

type modelDay struct {
	model  uint32
	class  uint32
	banned bool
	day    int32
}

// rates computes rates of one unit.
type rates struct {
	*stage
	read    *cells.Reader
	out     *cells.Writer
	rows    map[rowKey]*row
	periods map[int32]*period
	models  map[modelDay]int64 // drives of a model on a day
	names   cells.Names
}

func (r *rates) Process(_ context.Context, b *pipeline.Batch, acct *pipeline.Account, _ pipeline.Emit) error {
	defer b.Release()
	r.read.Load(b.Record)
	for i := range b.Rows() {
		r.add(i)
	}
	acct.Absorbed += int64(b.Rows())
	return nil
}

// add takes in row i of a cube.
func (r *rates) add(i int) {
	in := r.read
	date := int32(in.Ints[0].At(i))
	k := rowKey{period: fleet.PeriodStart(r.Period, date), model: r.names.Number(in.Texts[2].At(i)), class: r.names.Number(in.Texts[4].At(i))}
	for _, m := range r.ExcludeModels {
		k.banned = k.banned || m.Value == in.Texts[1].At(i) || m.Value == in.Texts[2].At(i)
	}
	for j, by := range r.By {
		switch d := dimensions[by.Value]; {
		case cubeWants[d.want].Text:
			k.by[j] = int64(r.names.Number(in.Texts[d.want].At(i)))
		case in.Ints[d.want].Null(i):
			k.by[j] = unknown
		default:
			k.by[j] = in.Ints[d.want].At(i)
		}
	}
	p := r.periods[k.period]
	if p == nil {
		p = &period{first: date, last: date, days: make(map[int32]bool)}
		r.periods[k.period] = p
	}
	p.first, p.last = min(p.first, date), max(p.last, date)
	p.days[date] = true
	days, failures := in.Ints[10].At(i), in.Ints[11].At(i)
	r.models[modelDay{k.model, k.class, k.banned, date}] += days
	w := r.rows[k]
	if w == nil {
		w = &row{first: date, last: date}
		r.rows[k] = w
	}
	w.days += days
	w.failures += failures
	if failures > 0 && !in.Texts[9].Null(i) {
		w.serials = append(w.serials, failed{date, k.model, r.names.Number(in.Texts[9].At(i)), failures})
	}
	if date < w.first {
		w.first, w.atFirst = date, 0
	}
	if date == w.first {
		w.atFirst += days
	}
	if date > w.last {
		w.last, w.atLast, w.ageDrives, w.ageHours = date, 0, 0, 0
	}
	if date == w.last {
		w.atLast += days
		w.ageDrives += in.Ints[12].At(i)
		w.ageHours += in.Ints[13].At(i)
	}
}

// ignore takes back the failures that the policy leaves out: of each drive all
// but the first, or the last.
func (r *rates) ignore() {
	if r.FailurePolicy == "as_published" {
		return
	}
	type one struct {
		failed
		row *row
		key rowKey
	}
	var all []one
	for k, w := range r.rows {
		for _, f := range w.serials {
			all = append(all, one{f, w, k})
		}
	}
	sign := 1
	if r.FailurePolicy == "last" {
		sign = -1
	}
	slices.SortFunc(all, func(a, b one) int {
		if c := cmp.Or(cmp.Compare(a.model, b.model), cmp.Compare(a.serial, b.serial), sign*cmp.Compare(a.date, b.date)); c != 0 {
			return c
		}
		// Twice on one day: which of the rows counts must not depend on chance.
		c := cmp.Compare(r.names.Text(a.key.class), r.names.Text(b.key.class))
		for j := range r.By {
			c = cmp.Or(c, r.compareBy(j, &a.key.by, &b.key.by))
		}
		return c
	})
	for i, f := range all {
		counted := int64(1)
		if i > 0 && all[i-1].model == f.model && all[i-1].serial == f.serial {
			counted = 0
		}
		f.row.failures -= f.n - counted
		f.row.ignored += f.n - counted
	}
}

// Flush decides which models count, and gives the rates.
func (r *rates) Flush(_ context.Context, acct *pipeline.Account, emit pipeline.Emit) error {
	if len(r.rows) == 0 {
		return nil
	}
	r.ignore()
	newest := int32(0)
	for _, p := range r.periods {
		newest = max(newest, p.last)
	}
	quarter := fleet.PeriodStart("quarter", newest)
	list := r.group()
	against := make(map[int32]*result)
	for _, g := range list {
		if r.Against != "" && g.excluded == "" && r.byText(g, 0) == r.Against {
			against[g.period] = g
		}
	}
	for _, g := range list {
		r.write(g, r.periods[g.period], against[g.period], quarter)
		if err := r.out.Row(acct, emit); err != nil {
			return err
		}
	}
	return r.out.Flush(acct, emit)
}

func (r *rates) Close() { r.out.Release() }

// result is a row of the output before it is written.
type result struct {
	resultKey
	start, end, days, failures, ignored, ageDrives, ageHours int64
}

type resultKey struct {
	period   int32
	by       [maxBy]int64
	excluded string
	model    uint32 // of what is excluded
}

// group adds up the rows of models that count, and keeps the others by model.
func (r *rates) group() []*result {
	reasons := r.exclude()
	sum := make(map[resultKey]*result)
	for k, w := range r.rows {
		p := r.periods[k.period]
		key := resultKey{period: k.period, by: k.by, excluded: reasons[modelKey{k.period, k.model, k.class, k.banned}]}
		if key.excluded != "" {
			key.model = k.model
		}
		g := sum[key]
		if g == nil {
			g = &result{resultKey: key}
			sum[key] = g
		}
		if w.first == p.first {
			g.start += w.atFirst
		}
		if w.last == p.last {
			g.end += w.atLast
			g.ageDrives += w.ageDrives
			g.ageHours += w.ageHours
		}
		g.days += w.days
		g.failures += w.failures
		g.ignored += w.ignored
	}
	out := make([]*result, 0, len(sum))
	for _, g := range sum {
		out = append(out, g)
	}
	slices.SortFunc(out, func(a, b *result) int {
		c := cmp.Compare(a.period, b.period)
		for j := range r.By {
			c = cmp.Or(c, r.compareBy(j, &a.by, &b.by))
		}
		return cmp.Or(c, cmp.Compare(a.excluded, b.excluded), cmp.Compare(r.names.Text(a.model), r.names.Text(b.model)))
	})
	return out
}

type modelKey struct {
	period int32
	model  uint32
	class  uint32
	banned bool
}

// Reasons for which drives do not count.
const (
	excludedModel  = "exclude_models"
	excludedClass  = "class"
	tooFewDrives   = "min_drives"
	tooFewDays     = "min_drive_days"
	atStart, atAny = "start", "any"
)

// exclude says why a model does not count in a period; "" where it does.
func (r *rates) exclude() map[modelKey]string {
	type tally struct{ start, end, most, days int64 }
	tallies := make(map[modelKey]*tally)
	for d, n := range r.models {
		k := modelKey{fleet.PeriodStart(r.Period, d.day), d.model, d.class, d.banned}
		t := tallies[k]
		if t == nil {
			t = new(tally)
			tallies[k] = t
		}
		p := r.periods[k.period]
		if d.day == p.first {
			t.start = n
		}
		if d.day == p.last {
			t.end = n
		}
		t.most = max(t.most, n)
		t.days += n
	}
	below := func(n, limit int64) bool { return limit > 0 && (n < limit || r.Strict && n == limit) }
	out := make(map[modelKey]string)
	for k, t := range tallies {
		drives := t.end
		switch r.DrivesAt {
		case atStart:
			drives = t.start
		case atAny:
			drives = t.most
		}
		class := r.names.Text(k.class)
		switch {
		case k.banned:
			out[k] = excludedModel
		case r.Classes != nil && !slices.ContainsFunc(r.Classes, func(c pipeline.Text) bool { return c.Value == class }):
			out[k] = excludedClass
		case below(drives, r.MinDrives):
			out[k] = tooFewDrives
		case below(t.days, r.MinDriveDays):
			out[k] = tooFewDays
		}
	}
	return out
}

func (r *rates) isText(j int) bool { return cubeWants[dimensions[r.By[j].Value].want].Text }

// compareBy compares value j of two groups.
func (r *rates) compareBy(j int, a, b *[maxBy]int64) int {
	if r.isText(j) {
		return cmp.Compare(r.names.Text(uint32(a[j])), r.names.Text(uint32(b[j])))
	}
	return cmp.Compare(a[j], b[j])
}

// byText spells value j of a result.
func (r *rates) byText(g *result, j int) string {
	if r.isText(j) {
		return r.names.Text(uint32(g.by[j]))
	}
	return strconv.FormatInt(g.by[j], 10)
}
