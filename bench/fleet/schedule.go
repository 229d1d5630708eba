package fleet

import "fmt"

// schedule lays out the service of one model's drives. Days count from the
// first of the fleet.
type schedule struct {
	model  *Model
	days   int
	random random
	drives []*Drive
}

// add puts a drive into service from a day on.
func (s *schedule) add(day int, hours int64) *Drive {
	d := &Drive{Model: s.model, first: day, last: s.days - 1, hours: hours}
	s.drives = append(s.drives, d)
	return d
}

// begin adds the drives of the first day and those installed later. Ages come
// in pairs around the average, so that it holds.
func (s *schedule) begin(installed int) {
	m := s.model
	var offset int64
	for i := range m.Drives {
		if i%2 == 0 {
			offset = 0
			if spread := int(m.Hours / 20); spread > 0 && i+1 < m.Drives {
				offset = int64(s.random.below(spread + 1))
			}
		} else {
			offset = -offset
		}
		s.add(0, m.Hours+offset)
	}
	for range installed {
		s.add(s.later(0), 12)
	}
}

// later returns a day after day, the last one at most.
func (s *schedule) later(day int) int {
	if day+1 >= s.days {
		return s.days - 1
	}
	return day + 1 + s.random.below(s.days-day-1)
}

// draw lets drives retire and fail as the model's curve says.
func (s *schedule) draw() {
	m := s.model
	s.begin(m.Installed)
	for _, i := range s.pick(min(m.Retired, m.Drives), m.Drives) {
		s.drives[i].last = s.random.below(max(1, s.days-1))
	}
	for i := 0; i < len(s.drives); i++ { // replacements are appended
		d := s.drives[i]
		for day := d.first; day <= d.last; day++ {
			if int64(s.random.next()%365_000_000) < m.Rate.at(d.hours+24*int64(day-d.first)) {
				d.last, d.Failed = day, true
				if day+3 < s.days {
					s.add(day+3, 12)
				}
				break
			}
		}
	}
	s.miss()
}

// arrange makes the model's facts true.
func (s *schedule) arrange() error {
	m, want := s.model, s.model.Facts
	// drives + installed = retired + failed before the end + drives at the end.
	// Failures happen before the last day.
	installed, retired := m.Installed, m.Retired
	if n := want.Drives - (m.Drives + installed - retired - want.Failures); n > 0 {
		installed += n
	} else {
		retired -= n
	}
	switch {
	case want.Drives < 0 || want.Failures < 0 || retired+want.Failures > m.Drives+installed:
		return fmt.Errorf("%d drives and %d installed cannot lose %d", m.Drives, installed, retired+want.Failures)
	case s.days == 1 && installed+retired+want.Failures > 0:
		return fmt.Errorf("drives cannot come and go within one day")
	}
	s.begin(installed)
	leaving := s.pick(retired+want.Failures, len(s.drives))
	for k, i := range leaving {
		d := s.drives[i]
		d.first = min(d.first, s.days-2)
		d.last = d.first + s.random.below(s.days-1-d.first)
		d.Failed = k < want.Failures
	}
	s.miss()
	return s.settle(want.DriveDays)
}

// pick returns n of the numbers below of, in no order.
func (s *schedule) pick(n, of int) []int {
	all := make([]int, of)
	for i := range all {
		all[i] = i
	}
	shuffle(&s.random, all)
	return all[:n]
}

// miss takes some drives out of service for a few days.
func (s *schedule) miss() {
	for _, d := range s.drives {
		if s.random.below(1000) >= s.model.Missing {
			continue
		}
		if n := d.last - d.first - 1; n > 0 {
			gap := d.first + 1 + s.random.below(n)
			d.Gap, d.GapDays = Day(gap), 1+s.random.below(min(9, d.last-gap))
		}
	}
}

// settle moves days on which drives join, leave and are absent, one day at a
// time and all drives in turn, until their days add up.
func (s *schedule) settle(want int64) error {
	var have int64
	for _, d := range s.drives {
		have += int64(d.last-d.first) + 1 - int64(d.GapDays)
	}
	for moved := true; have != want; {
		if !moved {
			return fmt.Errorf("%d drive days cannot be arranged, %d can", want, have)
		}
		moved = false
		for _, d := range s.drives {
			if have == want {
				break
			}
			if n := s.nudge(d, have < want); n != 0 {
				have, moved = have+n, true
			}
		}
	}
	return nil
}

// nudge lengthens or shortens the service of a drive by a day, if it can, and
// returns by how much.
func (s *schedule) nudge(d *Drive, longer bool) int64 {
	gap := d.first // of the last day that must not be passed
	if d.GapDays > 0 {
		gap = int(d.Gap) + d.GapDays
	}
	switch {
	case longer && d.GapDays > 0:
		d.GapDays--
		return 1
	case longer && d.first > 1:
		d.first--
		return 1
	case longer && d.last < s.days-2: // it leaves before the end
		d.last++
		return 1
	case longer:
		return 0
	case d.last < s.days-1 && d.last > gap:
		d.last--
		return -1
	case d.first > 0 && d.GapDays == 0 && d.first < d.last:
		d.first++
		return -1
	case d.GapDays > 0 && int(d.Gap)+d.GapDays < d.last:
		d.GapDays++
		return -1
	case d.GapDays == 0 && d.first == 0 && d.last > 1:
		d.Gap, d.GapDays = Day(1+s.random.below(d.last-1)), 1
		return -1
	}
	return 0
}
