package points

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// Columns of a sensor_msgs/LaserScan.
var scanColumns = []want{
	{"angle_min", arrow.FLOAT32}, {"angle_increment", arrow.FLOAT32}, {"ranges", arrow.LIST}, {"intensities", arrow.LIST},
}

func (s *stage) bindScan(t *pipeline.Table) (*binding, error) {
	b := &binding{}
	add := func(name, unit string, typ arrow.DataType) {
		b.made = append(b.made, arrow.Field{Name: name, Type: typ, Nullable: name == "intensity", Metadata: pipeline.FieldMeta(pipeline.MetaUnit, unit)})
		b.values = append(b.values, typ)
	}
	var spent []string
	add("angle", "rad", arrow.Float64Type)
	if s.point {
		spent = []string{"ranges", "intensities"}
		add("range", "m", arrow.Float32Type)
		add("intensity", "", arrow.Float32Type)
	}
	add("x", "m", arrow.Float64Type)
	add("y", "m", arrow.Float64Type)
	var from []string
	at := make([]int, len(scanColumns))
	for i, c := range scanColumns {
		at[i] = t.Column(c.name)
		if s.point || c.name != "intensities" {
			from = append(from, c.name)
		}
	}
	b.open = func(rec arrow.Record) (unpacker, error) { return openScan(rec, at, s.point) }
	return s.finish(t, b, spent, from)
}

// scans unpacks the scans of one batch.
type scans struct {
	point               bool
	cols                []arrow.Array // by scanColumns
	angle, increment    *arrow.Float32
	ranges, intensities *arrow.List
	rangeOf, strengthOf *arrow.Float32

	// The scan at hand: a range of rangeOf, and one of strengthOf or none.
	first, next, from, to int
	row                   int
}

func openScan(rec arrow.Record, at []int, point bool) (*scans, error) {
	s := &scans{point: point}
	for _, i := range at {
		s.cols = append(s.cols, rec.Column(i))
	}
	var ok [6]bool
	s.angle, ok[0] = s.cols[0].(*arrow.Float32)
	s.increment, ok[1] = s.cols[1].(*arrow.Float32)
	s.ranges, ok[2] = s.cols[2].(*arrow.List)
	s.intensities, ok[3] = s.cols[3].(*arrow.List)
	if ok[2] && ok[3] {
		s.rangeOf, ok[4] = s.ranges.ListValues().(*arrow.Float32)
		s.strengthOf, ok[5] = s.intensities.ListValues().(*arrow.Float32)
	}
	if ok != [6]bool{true, true, true, true, true, true} {
		return nil, fmt.Errorf("the columns are not those of a LaserScan: %w", pipeline.ErrSchema)
	}
	return s, nil
}

func (s *scans) sweep(i int) (points int, reason, column string, err error) {
	for k, a := range s.cols {
		if a.IsNull(i) {
			return 0, "null_cell", scanColumns[k].name, fmt.Errorf("%s: %w", scanColumns[k].name, errNull)
		}
	}
	first, next := s.ranges.ValueOffsets(i)
	from, to := s.intensities.ValueOffsets(i)
	if n, m := next-first, to-from; m != 0 && m != n {
		return 0, "intensities_length", "intensities", fmt.Errorf("%d intensities for %d ranges: %w", m, n, pipeline.ErrCorrupt)
	}
	s.first, s.next, s.from, s.to, s.row = int(first), int(next), int(from), int(to), i
	return s.next - s.first, "", "", nil
}

func (s *scans) append(out []sink) {
	n := s.next - s.first
	if n == 0 {
		return
	}
	ranges := s.rangeOf.Float32Values()[s.first:s.next]
	angles, xs, ys := out[0].extend(n), out[len(out)-2].extend(n), out[len(out)-1].extend(n)
	start, step := float64(s.angle.Value(s.row)), float64(s.increment.Value(s.row))
	put := binary.LittleEndian.PutUint64
	for i, r := range ranges {
		angle := start + float64(i)*step
		sin, cos := math.Sincos(angle)
		put(angles[8*i:], math.Float64bits(angle))
		put(xs[8*i:], math.Float64bits(float64(r)*cos))
		put(ys[8*i:], math.Float64bits(float64(r)*sin))
	}
	if !s.point {
		return
	}
	values(out[1], ranges)
	if s.to == s.from {
		out[2].AppendNulls(n)
		return
	}
	values(out[2], s.strengthOf.Float32Values()[s.from:s.to])
}

func values(out sink, v []float32) {
	dst := out.extend(len(v))
	for i, x := range v {
		binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(x))
	}
}
