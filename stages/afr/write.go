package afr

import (
	"math"

	"github.com/drivemill/drivemill/stages/internal/cells"
	"github.com/drivemill/drivemill/stages/internal/fleet"
	"github.com/drivemill/drivemill/stages/internal/rate"
)

// write appends one result.
func (r *rates) write(g *result, p *period, against *result, newestQuarter int32) {
	w, c := r.out.Columns, 5
	w[0].AppendString(fleet.PeriodName(r.Period, g.period))
	w[1].AppendInt32(p.first)
	w[2].AppendInt32(p.last)
	w[3].AppendInt64(int64(len(p.days)))
	w[4].AppendBool(p.last >= newestQuarter)
	for j := range r.By {
		if r.isText(j) {
			cells.Text(w[c], r.names.Text(uint32(g.by[j])))
		} else {
			cells.Maybe(w[c], g.by[j], g.by[j] != unknown)
		}
		c++
	}
	cells.Text(w[c], g.excluded)
	cells.Text(w[c+1], r.names.Text(g.model))
	for j, v := range []int64{g.end, g.start, g.days, g.failures, g.ignored} {
		w[c+2+j].AppendInt64(v)
	}
	c += 7
	days := float64(g.days)
	afr, ok := rate.Annual(float64(g.failures), days)
	low, high := rate.Poisson(g.failures, r.Confidence)
	low, _ = rate.Annual(low, days)
	high, _ = rate.Annual(high, days)
	cells.Float(w[c], afr, ok)
	cells.Float(w[c+1], low, ok)
	cells.Float(w[c+2], high, ok)
	months := float64(g.ageHours) / float64(max(g.ageDrives, 1)) / fleet.HoursPerMonth
	cells.Float(w[c+3], months, g.ageDrives > 0)
	if r.Against == "" {
		return
	}
	if against == nil || g.excluded != "" {
		for j := range 3 {
			w[c+4+j].AppendNull()
		}
		return
	}
	ratio, low, high, ok := rate.Ratio(g.failures, days, against.failures, float64(against.days), r.Confidence)
	exposed := g.days > 0 && against.days > 0
	cells.Float(w[c+4], ratio, ok)
	cells.Float(w[c+5], low, exposed)
	cells.Float(w[c+6], high, exposed && !math.IsInf(high, 1))
}
