package integrity

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/stages/internal/cells"
)

// drive tells drives apart, by numbers of checker.names and serials.
type drive struct{ model, serial uint32 }

// history is what is remembered of a drive.
type history struct {
	last, failed int32 // days; failed is 0 before a failure
	after        int32 // rows after the first failure
	model        uint32
	capacity     int64
	counters     []int64
	outside      uint64 // ranges that it was found to leave
	everFailed   bool
}

// gap is a stretch of days without a drive.
type gap struct {
	drive
	last, next int32
}

// checker looks at one unit.
type checker struct {
	*stage
	opt      pipeline.ProcessOptions
	counters []string
	read     *cells.Reader
	out      *cells.Writer
	drives   map[drive]*history
	products map[uint32]uint32 // model by serial number, as seen first
	days     map[int32]bool
	gaps     []gap
	names    cells.Names
	serials  cells.Names
	// Where findings go while rows are read.
	acct *pipeline.Account
	emit pipeline.Emit
}

func (c *checker) Process(_ context.Context, b *pipeline.Batch, acct *pipeline.Account, emit pipeline.Emit) error {
	defer b.Release()
	c.acct, c.emit = acct, emit
	c.read.Load(b.Record)
	for i := range b.Rows() {
		if c.read.Ints[0].Null(i) {
			if err := c.opt.Refuse(acct, b, i, "date", "no_date", errors.New("the row has no date")); err != nil {
				return err
			}
			continue
		}
		acct.Absorbed++
		if err := c.row(i); err != nil {
			return fmt.Errorf("table %s: row %d: %w", b.Table.Name, b.Origin.At(i), err)
		}
	}
	return nil
}

// finding is a row of the output but for the drive.
type finding struct {
	kind                          string
	day                           int32
	column, before, after, detail string
}

func (c *checker) tell(k drive, f finding) error {
	w := c.out.Columns
	w[0].AppendString(f.kind)
	cells.Text(w[1], c.serials.Text(k.serial))
	cells.Text(w[2], c.names.Text(k.model))
	w[3].AppendInt32(f.day)
	for j, s := range []string{f.column, f.before, f.after, f.detail} {
		cells.Text(w[4+j], s)
	}
	return c.out.Row(c.acct, c.emit)
}

func (c *checker) row(i int) error {
	r := c.read
	day := int32(r.Ints[0].At(i))
	c.days[day] = true
	k := drive{c.names.Number(r.Texts[2].At(i)), c.serials.Number(r.Texts[1].At(i))}
	h := c.drives[k]
	if h == nil {
		h = &history{last: day, model: c.names.Number(r.Texts[3].At(i)), capacity: none, counters: make([]int64, len(c.counters))}
		for j := range h.counters {
			h.counters[j] = none
		}
		c.drives[k] = h
		if first, ok := c.products[k.serial]; !ok {
			c.products[k.serial] = k.model
		} else if first != k.model {
			if err := c.tell(k, finding{"model_change", day, "model_norm", c.names.Text(first), c.names.Text(k.model), ""}); err != nil {
				return err
			}
		}
	} else if err := c.sinceLast(k, h, day); err != nil {
		return err
	}
	if h.everFailed {
		h.after++
	}
	if !r.Ints[5].Null(i) && r.Ints[5].At(i) != 0 {
		h.failed, h.everFailed = day, true
	} else if day > h.failed {
		h.failed = 0
	}
	if model := c.names.Number(r.Texts[3].At(i)); model != h.model {
		if err := c.tell(k, finding{"model_spelling", day, "model", c.names.Text(h.model), c.names.Text(model), ""}); err != nil {
			return err
		}
		h.model = model
	}
	if !r.Ints[4].Null(i) {
		v := r.Ints[4].At(i)
		if h.capacity != none && v != h.capacity {
			if err := c.tell(k, finding{"capacity_change", day, "capacity_bytes", number(h.capacity), number(v), ""}); err != nil {
				return err
			}
		}
		h.capacity = v
	}
	return c.values(k, h, day, i)
}

// sinceLast compares the day of a row with that of the drive's row before.
func (c *checker) sinceLast(k drive, h *history, day int32) error {
	last := h.last
	h.last = day
	switch {
	case day < last:
		return fmt.Errorf("drive %s is there on %s after %s: sort by date before: %w", c.serials.Text(k.serial), date(day), date(last), pipeline.ErrSchema)
	case day == last:
		return c.tell(k, finding{"duplicate_day", day, "", date(last), date(day), ""})
	case day > last+1:
		c.gaps = append(c.gaps, gap{k, last, day})
	}
	if h.failed != 0 {
		return c.tell(k, finding{"resurrected", day, "failure", date(h.failed), date(day), ""})
	}
	return nil
}

// values checks counters and ranges.
func (c *checker) values(k drive, h *history, day int32, i int) error {
	at := len(wants)
	for j, name := range c.counters {
		col := &c.read.Ints[at+j]
		if col.Null(i) {
			continue
		}
		v := col.At(i)
		if before := h.counters[j]; before != none && v < before {
			if err := c.tell(k, finding{"counter_backwards", day, name, number(before), number(v), ""}); err != nil {
				return err
			}
		}
		h.counters[j] = v
	}
	at += len(c.counters)
	for j, r := range c.ranges {
		col := &c.read.Ints[at+j]
		if col.Null(i) || h.outside>>j&1 != 0 {
			continue
		}
		if v := col.At(i); v < r.low || v > r.high {
			h.outside |= 1 << j
			if err := c.tell(k, finding{"out_of_range", day, r.column, "", number(v), fmt.Sprintf("%d..%d", r.low, r.high)}); err != nil {
				return err
			}
		}
	}
	return nil
}

// Flush tells what shows only when all days are known.
func (c *checker) Flush(_ context.Context, acct *pipeline.Account, emit pipeline.Emit) error {
	c.acct, c.emit = acct, emit
	days := make([]int32, 0, len(c.days))
	for d := range c.days {
		days = append(days, d)
	}
	slices.Sort(days)
	order := func(a, b drive) int {
		return cmp.Or(cmp.Compare(c.names.Text(a.model), c.names.Text(b.model)), cmp.Compare(c.serials.Text(a.serial), c.serials.Text(b.serial)))
	}
	slices.SortFunc(c.gaps, func(a, b gap) int { return cmp.Or(order(a.drive, b.drive), cmp.Compare(a.last, b.last)) })
	for _, g := range c.gaps {
		from, _ := slices.BinarySearch(days, g.last+1)
		to, _ := slices.BinarySearch(days, g.next)
		if to == from {
			continue
		}
		if err := c.tell(g.drive, finding{"missing_days", g.next, "", date(g.last), date(g.next), strconv.Itoa(to - from)}); err != nil {
			return err
		}
	}
	for i := 1; i < len(days); i++ {
		for d := days[i-1] + 1; d < days[i]; d++ {
			if err := c.tell(drive{}, finding{kind: "day_without_data", day: d}); err != nil {
				return err
			}
		}
	}
	var back []drive
	for k, h := range c.drives {
		if h.after > 0 {
			back = append(back, k)
		}
	}
	slices.SortFunc(back, order)
	for _, k := range back {
		h := c.drives[k]
		if err := c.tell(k, finding{"rows_after_failure", h.last, "failure", "", "", strconv.Itoa(int(h.after))}); err != nil {
			return err
		}
	}
	return c.out.Flush(acct, emit)
}

func (c *checker) Close() { c.out.Release() }

func number(v int64) string { return strconv.FormatInt(v, 10) }

func date(day int32) string { return time.Unix(int64(day)*86400, 0).UTC().Format(time.DateOnly) }
