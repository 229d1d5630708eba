// Package points is the stage that unpacks point clouds and laser scans.
//
//	stages:
//	  cloud:
//	    use: points
//	    from: drives.lidar_top
//	    fields: {x: float32, y: float32, z: float32, intensity: float32, ring: uint16}
//	    rows: sweep
//
// It takes tables of sensor_msgs/PointCloud2 and sensor_msgs/LaserScan, of ROS 1
// and ROS 2, which it knows by their columns. Which fields a cloud has is told
// by each message, and so cannot make a schema: fields declares those to unpack,
// with their types; x, y and z as float32 when it is left out. A cloud in which
// one of them is missing, is of another type or repeats is refused.
//
// With rows: sweep each message stays one row, and each field becomes a list
// with one value a point; an organised cloud is listed row by row, height and
// width stay beside the lists. With rows: point each point becomes a row: the
// columns of its message, point (its number in the sweep, from 0), and the
// fields. NaN is kept, and so are points that is_dense promises not to be there.
//
// A scan gets angle, x and y, computed in double precision from angle_min,
// angle_increment and the range as they are stored: lists beside ranges and
// intensities, or with rows: point a row for each range with point, angle,
// range, intensity (null in a scan that has none), x and y.
//
// A message is refused when its lengths contradict each other: as cloud_size,
// where data is not row_step times height bytes, or where points do not fit
// their rows; as field_missing, field_type, field_count or field_offset; as
// intensities_length; as null_cell, where a column it is made from is null.
package points

import (
	"context"
	"fmt"
	"slices"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// Config is the configuration of a points stage.
type Config struct {
	Fields pipeline.Map[pipeline.Text] `yaml:"fields" doc:"fields of clouds to unpack, with the type that messages declare: int8, uint8, int16, uint16, int32, uint32, float32, float64; x, y and z as float32 when left out"`
	Rows   string                      `yaml:"rows" enum:"sweep,point" default:"sweep" doc:"sweep: a row for each message, with lists. point: a row for each point."`
}

// Spec announces the stage.
func Spec() pipeline.StageSpec {
	return pipeline.StageSpec{
		Name:    "points",
		Summary: "unpack point clouds and laser scans",
		Doc: "Unpacks PointCloud2 into the declared `fields`, and LaserScan into angles and coordinates: lists in one row for each message, or with `rows: point` a row for each point. " +
			"Both byte orders, padding and organised clouds are read; NaN is kept. A message that lacks a declared field, has it with another type, or whose lengths contradict each other is rejected.",
		Example: `pipeline: clouds
inputs:
  sensors:
    uri: testdata/sensors/{vehicle_id}/{drive_id}/*.{bag,mcap}
    tables:
      cloud: {match: /lidar/points, type: sensor_msgs/PointCloud2}
      scan: {match: /lidar/scan, type: sensor_msgs/LaserScan}
stages:
  sweeps:
    use: points
    from: sensors.cloud
    fields: {x: float32, y: float32, z: float32, intensity: float32}
  beams:
    use: points
    from: sensors.scan
    rows: point
outputs:
  lake: {use: parquet, from: [sweeps, beams], uri: lake}
`,
		Behaviour: 1,
		Config:    func() any { return new(Config) },
		New: func(_ context.Context, config any, _ pipeline.Env) (pipeline.Stage, error) {
			return newStage(config.(*Config))
		},
	}
}

// datatype is a type of a field, as sensor_msgs/PointField numbers them.
type datatype struct {
	name  string
	code  uint8
	width int
	typ   arrow.DataType
}

var datatypes = []datatype{
	{"int8", 1, 1, arrow.Int8Type}, {"uint8", 2, 1, arrow.Uint8Type}, {"int16", 3, 2, arrow.Int16Type}, {"uint16", 4, 2, arrow.Uint16Type},
	{"int32", 5, 4, arrow.Int32Type}, {"uint32", 6, 4, arrow.Uint32Type}, {"float32", 7, 4, arrow.Float32Type}, {"float64", 8, 8, arrow.Float64Type},
}

// field is a declared field.
type field struct {
	name string
	at   pipeline.Text
	datatype
}

type stage struct {
	fields []field
	point  bool // a row for each point
}

func newStage(c *Config) (*stage, error) {
	s := &stage{point: c.Rows == "point"}
	var issues pipeline.Issues
	var known []string
	for _, d := range datatypes {
		known = append(known, d.name)
	}
	for _, e := range c.Fields.Entries {
		i := slices.Index(known, e.Value.Value)
		if i < 0 {
			is := e.Value.Issuef(0, "unknown type %q of field %s", e.Value.Value, e.Key.Value)
			is.Suggestion = pipeline.Nearest(e.Value.Value, known)
			issues.Add(is)
			continue
		}
		s.fields = append(s.fields, field{e.Key.Value, e.Key, datatypes[i]})
	}
	if len(c.Fields.Entries) == 0 {
		for _, name := range []string{"x", "y", "z"} {
			s.fields = append(s.fields, field{name: name, datatype: datatypes[6]})
		}
	}
	if err := issues.Err(); err != nil {
		return nil, err
	}
	return s, nil
}

// unpacker turns the messages of one table into columns of points.
type unpacker interface {
	// sweep checks row i of what it was opened for, and tells the points in it.
	// Refused rows come back as a reason and an error.
	sweep(i int) (points int, reason, column string, err error)
	// append adds the points of the sweep just checked to the new columns.
	append(out []sink)
}

// Bind finds out what each table is.
func (s *stage) Bind(in []*pipeline.Table) (*pipeline.Binding, error) {
	out := &pipeline.Binding{State: pipeline.StateNone}
	bound := make(map[*pipeline.Table]*binding, len(in))
	var issues pipeline.Issues
	for _, t := range in {
		b, err := s.bind(t)
		if err != nil {
			if !issues.Add(err) {
				return nil, err
			}
			continue
		}
		bound[t] = b
		out.Outputs = append(out.Outputs, b.output)
	}
	if err := issues.Err(); err != nil {
		return nil, err
	}
	out.Open = func(opt pipeline.ProcessOptions) (pipeline.Processor, error) {
		return &processor{bound: bound, opt: opt, point: s.point}, nil
	}
	return out, nil
}

// binding is the stage bound to one table.
type binding struct {
	output pipeline.Output
	kept   []int            // columns passed on
	made   []arrow.Field    // columns added, as lists or as values
	values []arrow.DataType // of one point, parallel to made
	open   func(rec arrow.Record) (unpacker, error)
}

func (s *stage) bind(t *pipeline.Table) (*binding, error) {
	switch {
	case has(t, cloudColumns):
		return s.bindCloud(t)
	case has(t, scanColumns):
		return s.bindScan(t)
	}
	return nil, &pipeline.Issue{Message: fmt.Sprintf("table %s is neither a PointCloud2 nor a LaserScan: it has not all columns of one of them", t.Name)}
}

// want is a column by which a table is known.
type want struct {
	name string
	id   arrow.TypeID
}

func has(t *pipeline.Table, columns []want) bool {
	for _, c := range columns {
		i := t.Column(c.name)
		if i < 0 || t.Schema.Field(i).Type.ID() != c.id {
			return false
		}
	}
	return true
}

// finish lays out the output: the columns of t that are not spent, then those
// made of the columns in from.
func (s *stage) finish(t *pipeline.Table, b *binding, spent []string, from []string) (*binding, error) {
	var fields []arrow.Field
	add := func(f arrow.Field, d pipeline.Derivation) {
		fields = append(fields, f)
		b.output.Columns = append(b.output.Columns, d)
	}
	for i, f := range t.Schema.Fields() {
		if slices.Contains(spent, f.Name) {
			continue
		}
		b.kept = append(b.kept, i)
		add(f, pipeline.Derivation{Inputs: []pipeline.ColumnRef{{Table: t, Column: f.Name}}, Identity: true})
	}
	var refs []pipeline.ColumnRef
	for _, c := range from {
		refs = append(refs, pipeline.ColumnRef{Table: t, Column: c})
	}
	if s.point {
		b.made = append([]arrow.Field{{Name: "point", Type: arrow.Int32Type, Metadata: pipeline.FieldMeta(pipeline.MetaDescription, "number of the point in its sweep")}}, b.made...)
		b.values = append([]arrow.DataType{arrow.Int32Type}, b.values...)
	}
	var issues pipeline.Issues
	for i, f := range b.made {
		if slices.ContainsFunc(fields, func(o arrow.Field) bool { return o.Name == f.Name }) {
			is := &pipeline.Issue{Message: fmt.Sprintf("table %s has a column %q already, which a field would be called", t.Name, f.Name)}
			for _, d := range s.fields {
				if d.name == f.Name {
					is.Pos, is.Path = d.at.Pos, d.at.Path
				}
			}
			issues.Add(is)
		}
		if !s.point {
			f.Type = arrow.ListOf(b.values[i])
		}
		add(f, pipeline.Derivation{Inputs: refs, Expression: "points of the message"})
	}
	if err := issues.Err(); err != nil {
		return nil, err
	}
	b.output.Table = t.With(arrow.NewSchema(fields, nil))
	return b, nil
}
