package fleet

import (
	"fmt"
	"iter"
)

// Config describes a fleet over a period.
type Config struct {
	Seed uint64
	// From and To are the first and the last day.
	From, To Day
	Models   []Model
}

// Model is one kind of drive, and what becomes of its drives.
type Model struct {
	Name     string
	Serial   string // what serial numbers begin with
	Capacity int64  // in bytes
	// Smart are the attributes its drives report.
	Smart []int
	// Boot drives hold no customers' data; they have no slot in a pod.
	Boot bool

	// Drives are in service on the first day, with Hours of power-on time on
	// average: each drive lies within a twentieth of it.
	Drives int
	Hours  int64
	// Installed drives join over the period, Retired ones leave without having
	// failed. Facts change both as far as they must.
	Installed, Retired int
	// Missing is how many drives in a thousand are absent for some days.
	Missing int
	// Rate is the failure curve; failed drives are replaced three days later.
	// It is not looked at when there are Facts.
	Rate Curve
	// Facts, where not nil, hold exactly.
	Facts *Facts
}

// Facts are the figures of a model, or of several, over the period.
type Facts struct {
	Drives    int   // in service on the last day, drives that fail on it included
	Failures  int   // rows with failure = 1
	DriveDays int64 // rows
}

// Curve is a failure rate over the age of a drive, in failures per million
// drive years: Early falls to nothing over the first year, Steady remains, Late
// comes on top for each year after the fourth.
type Curve struct{ Early, Steady, Late int64 }

// at returns the rate at an age in hours.
func (c Curve) at(hours int64) int64 {
	const year = 8766
	rate := c.Steady
	if hours < year {
		rate += c.Early * (year - hours) / year
	}
	if hours > 4*year {
		rate += c.Late * (hours - 4*year) / year
	}
	return rate
}

// Drive is one drive. It has a row on each day on which it is present.
type Drive struct {
	Serial string
	Model  *Model
	// First and Last day in service.
	First, Last Day
	// Failed drives have failure = 1 on their last day.
	Failed bool
	// Gap is the first of GapDays days without the drive, inside its service.
	Gap     Day
	GapDays int
	// Slot is its place, which a successor takes over; -1 for boot drives.
	Slot int

	hours int64 // power-on time on the first day
	seed  uint64
	first int // day of its first, counted from the fleet's first
	last  int
}

// Present reports whether the drive has a row for a day.
func (d *Drive) Present(day Day) bool {
	return day >= d.First && day <= d.Last && (d.GapDays == 0 || day < d.Gap || day >= d.Gap+Day(d.GapDays))
}

// FailsOn reports whether the drive has failure = 1 on a day.
func (d *Drive) FailsOn(day Day) bool { return d.Failed && day == d.Last }

// Hours returns the power-on time on a day.
func (d *Drive) Hours(day Day) int64 { return d.hours + 24*int64(day-d.First) }

// Fleet is a fleet with the schedule of each drive. It is read-only.
type Fleet struct {
	Config
	// Drives that are in service on any day, in no order.
	Drives []*Drive
}

// New makes a fleet. It fails when facts contradict each other.
func New(c Config) (*Fleet, error) {
	if c.To < c.From {
		return nil, fmt.Errorf("fleet: the last day, %s, comes before the first, %s", c.To, c.From)
	}
	f := &Fleet{Config: c}
	serials := make(map[string]bool)
	for i := range c.Models {
		m := &c.Models[i]
		s := &schedule{model: m, days: int(c.To-c.From) + 1, random: random{mix(c.Seed + uint64(i)*0x51ed)}}
		var err error
		if m.Facts != nil {
			err = s.arrange()
		} else {
			s.draw()
		}
		if err != nil {
			return nil, fmt.Errorf("fleet: model %s: %w", m.Name, err)
		}
		for _, d := range s.drives {
			d.First, d.Last = c.From+Day(d.first), c.From+Day(d.last)
			if d.GapDays > 0 {
				d.Gap += c.From
			}
			d.seed = s.random.next()
			for d.Serial == "" || serials[d.Serial] {
				d.Serial = serial(m.Serial, s.random.next())
			}
			serials[d.Serial] = true
		}
		f.Drives = append(f.Drives, s.drives...)
	}
	f.place()
	shuffle(&random{mix(c.Seed)}, f.Drives)
	return f, nil
}

// serial makes a serial number of eight signs behind the prefix.
func serial(prefix string, v uint64) string {
	const signs = "0123456789ABCDEFGHJKLMNPQRSTVWXYZ"
	b := []byte(prefix)
	for range 8 {
		b = append(b, signs[v%uint64(len(signs))])
		v /= uint64(len(signs))
	}
	return string(b)
}

// place gives each data drive a slot; those that were left are filled first.
func (f *Fleet) place() {
	days := int(f.To-f.From) + 1
	joins, leaves := make([][]*Drive, days), make([][]*Drive, days)
	for _, d := range f.Drives {
		d.Slot = -1
		if !d.Model.Boot {
			joins[d.first] = append(joins[d.first], d)
			leaves[d.last] = append(leaves[d.last], d)
		}
	}
	var free []int
	next := 0
	for day := range days {
		for _, d := range joins[day] {
			if len(free) > 0 {
				d.Slot, free = free[0], free[1:]
				continue
			}
			d.Slot = next
			next++
		}
		for _, d := range leaves[day] {
			free = append(free, d.Slot)
		}
	}
}

// On lists the drives that have a row for a day.
func (f *Fleet) On(day Day) iter.Seq[*Drive] {
	return func(yield func(*Drive) bool) {
		for _, d := range f.Drives {
			if d.Present(day) && !yield(d) {
				return
			}
		}
	}
}

// Count returns the figures of the models that keep accepts; nil accepts all.
func (f *Fleet) Count(keep func(*Model) bool) Facts {
	var out Facts
	for _, d := range f.Drives {
		if keep != nil && !keep(d.Model) {
			continue
		}
		out.DriveDays += int64(d.Last-d.First) + 1 - int64(d.GapDays)
		if d.Present(f.To) {
			out.Drives++
		}
		if d.Failed {
			out.Failures++
		}
	}
	return out
}
