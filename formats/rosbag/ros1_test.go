package rosbag

import (
	"context"
	"encoding/binary"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/drivemill/drivemill/formats/message/ros1"
	"github.com/drivemill/drivemill/formats/message/rosmsg"
	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// columnsOf decodes everything and returns for each table its columns, whole.
func columnsOf(t *testing.T, src pipeline.Source, d *pipeline.Description, opt pipeline.DecodeOptions) (map[string][]arrow.Array, map[string]pipeline.TableCounts) {
	t.Helper()
	ctx := context.Background()
	opt.Reject = func(r pipeline.BadRow) error {
		t.Errorf("%s: record %d of %s is rejected: %v", src.Object().URI, r.Record, r.Table, r.Err)
		return nil
	}
	dec, err := New(ros1.Encoding{}).Open(ctx, src, d, pipeline.Selection{}, opt)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := dec.Close(); err != nil {
			t.Error(err)
		}
	}()
	parts := map[string][][]arrow.Array{}
	for {
		el, err := dec.Next(ctx)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if el.Batch == nil {
			continue
		}
		name := el.Batch.Table.Name
		if parts[name] == nil {
			parts[name] = make([][]arrow.Array, el.Batch.Record.NumCols())
		}
		for i, c := range el.Batch.Record.Columns() {
			parts[name][i] = append(parts[name][i], c)
		}
	}
	out := map[string][]arrow.Array{}
	for name, columns := range parts {
		for _, p := range columns {
			whole, err := arrow.Concatenate(p, arrow.NewGoAllocator())
			if err != nil {
				t.Fatal(err)
			}
			out[name] = append(out[name], whole)
		}
	}
	counts := map[string]pipeline.TableCounts{}
	for _, c := range dec.Counts() {
		counts[c.Table] = c
	}
	return out, counts
}

// TestMessages decodes the messages of bags that others wrote, and makes the
// md5 sums of their types from the definitions.
func TestMessages(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(conformance(t), "ros1_bag", "*.bag"))
	if err != nil || len(paths) < 18 {
		t.Fatalf("%d bags are there: %v", len(paths), err)
	}
	types := 0
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		src := inMemory(data)
		d, err := New(ros1.Encoding{}).Describe(context.Background(), src)
		if err != nil {
			continue
		}
		for _, c := range d.Index.(*recording).conns {
			if c.definition == "" {
				continue
			}
			typ, err := rosmsg.Parse(rosmsg.ROS1, c.typ, []byte(c.definition))
			if err != nil {
				t.Errorf("%s: %s: %v", path, c.topic, err)
				continue
			}
			types++
			if typ.MD5() != c.md5 {
				t.Errorf("%s: %s: md5 sum %s of %s, want %s", path, c.topic, typ.MD5(), c.typ, c.md5)
			}
		}
		want, counts := columnsOf(t, src, d, pipeline.DecodeOptions{Workers: 1})
		for _, ti := range d.Tables {
			n := counts[ti.Table.Name]
			if raw := strings.Contains(path, "empty-message-definition"); ti.Raw != raw || n.Decoded != ti.Rows || n.Found != ti.Rows {
				t.Errorf("%s: table %s of %d rows: %+v", path, ti.Table.Name, ti.Rows, n)
			}
		}
		for _, opt := range []pipeline.DecodeOptions{{Workers: 4, BatchRows: 1}, {Workers: 4}, {Workers: 1, BatchRows: 1000}} {
			if opt.BatchRows == 1 && len(data) > 500_000 {
				continue // takes seconds and shows nothing new
			}
			got, _ := columnsOf(t, src, d, opt)
			for name, columns := range want {
				if !slices.EqualFunc(got[name], columns, arrow.ArrayEqual) {
					t.Errorf("%s: table %s differs with %+v", path, name, opt)
				}
			}
		}
		if strings.Contains(path, "fixtures__example.bag") {
			pose := want["/turtle1/pose"]
			i := slices.Index(d.Tables[slices.IndexFunc(d.Tables, func(ti pipeline.TableInfo) bool { return ti.Table.Name == "/turtle1/pose" })].Table.ColumnNames(), "x")
			// A turtle starts in the middle of its field.
			if x := pose[i].(*arrow.Float32).Value(0); math.Abs(float64(x)-5.544) > 0.001 {
				t.Errorf("the turtle starts at %f", x)
			}
		}
	}
	if types < 50 {
		t.Errorf("only %d definitions were parsed", types)
	}
}

// imuDefinition is that of sensor_msgs/Imu without its comments.
const imuDefinition = `Header header
geometry_msgs/Quaternion orientation
float64[9] orientation_covariance
geometry_msgs/Vector3 angular_velocity
float64[9] angular_velocity_covariance
geometry_msgs/Vector3 linear_acceleration
float64[9] linear_acceleration_covariance
================================================================================
MSG: std_msgs/Header
uint32 seq
time stamp
string frame_id
================================================================================
MSG: geometry_msgs/Quaternion
float64 x
float64 y
float64 z
float64 w
================================================================================
MSG: geometry_msgs/Vector3
float64 x
float64 y
float64 z
`

// imu returns message i of a slow turn.
func imu(i int) []byte {
	b := slices.Concat(le32(uint32(i)), le64(at(uint32(i/200), uint32(i%200)*5_000_000)), le32(4), []byte("base"))
	for k := range 37 {
		v := 0.0
		switch {
		case k < 4 || k >= 13 && k < 16 || k >= 25 && k < 28:
			v = math.Sin(float64(i*(k+1)) / 500)
		case k%4 == 0:
			v = 1e-3
		}
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
	}
	return b
}

func TestImu(t *testing.T) {
	src := inMemory(imuBag(codecLZ4, 5000))
	d, err := New(ros1.Encoding{}).Describe(context.Background(), src)
	if err != nil || len(d.Problems) > 0 {
		t.Fatal(err, d)
	}
	ti := d.Tables[0]
	equal(t, "clocks", ti.Table.Clocks, []pipeline.Clock{{Name: "header", Column: "header.stamp"}, {Name: "log", Column: "log_time"}})
	cols, _ := columnsOf(t, src, d, pipeline.DecodeOptions{Workers: 2})
	y := cols["/imu"][ti.Table.Column("angular_velocity.y")].(*arrow.Float64)
	stamp := cols["/imu"][ti.Table.Column("header.stamp")].(*arrow.Timestamp)
	for i := range 5000 {
		if y.Value(i) != math.Sin(float64(i*15)/500) || int64(stamp.Value(i)) != int64(i)*5_000_000 {
			t.Fatalf("row %d: %v at %d", i, y.Value(i), stamp.Value(i))
		}
	}
	equal(t, "rows", ti.Rows, 5000)
}
