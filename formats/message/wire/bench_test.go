package wire_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/formats/message/rosmsg"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
)

// fromType makes the test encoder's type of a built-in one.
func fromType(t *rosmsg.Type) *mtype {
	kinds := map[rosmsg.Kind]kind{}
	for k, name := range kindText {
		for r := rosmsg.Bool; r < rosmsg.Message; r++ {
			if r.String() == name {
				kinds[r] = kind(k)
			}
		}
	}
	m := &mtype{name: t.Name}
	for _, f := range t.Fields {
		g := mfield{name: f.Name, kind: kinds[f.Kind], array: int(f.Array), n: int(f.Len)}
		if f.Message != nil {
			g.kind, g.msg = kMsg, fromType(f.Message)
		}
		m.fields = append(m.fields, g)
	}
	return m
}

// load is messages of one type in one block.
type load struct {
	plan  message.Plan
	cols  []*column.Column
	data  []byte
	spans []message.Span
}

func newLoad(t testing.TB, d dialect, name string, messages, elems, size int, columns []string) *load {
	if d.cdr {
		name = strings.Replace(name, "/", "/msg/", 1)
	}
	typ, err := rosmsg.Builtin(name)
	if err != nil {
		t.Fatal(err)
	}
	layout, err := d.enc.Parse(message.Schema{Name: name, Encoding: d.lang})
	if err != nil {
		t.Fatal(err)
	}
	plan, err := layout.Compile(columns)
	if err != nil {
		t.Fatal(err)
	}
	l := &load{plan: plan}
	l.cols, _ = columnsFor(arrow.NewGoAllocator(), layout, columns)
	m := fromType(typ)
	for i := range messages {
		e := &encoder{cdr: d.cdr, xcdr2: d.xcdr2, order: d.order, rng: rand.New(rand.NewPCG(uint64(i), 3)), elems: elems, bytes: size}
		e.message(m, "", map[string]string{})
		start := uint32(len(l.data))
		l.data = append(append(l.data, d.head...), e.buf...)
		l.spans = append(l.spans, message.Span{Start: start, End: uint32(len(l.data))})
	}
	return l
}

func (l *load) run(t testing.TB) {
	for _, c := range l.cols {
		c.Reset()
	}
	n, err := l.plan.Append(l.cols, l.data, l.spans)
	if err != nil || n != len(l.spans) || l.cols[0].N != n {
		t.Fatalf("%d of %d: %v", n, len(l.spans), err)
	}
}

var loads = []struct {
	name, typ             string
	messages, elems, size int
	columns               []string
}{
	{"Float64", "std_msgs/Float64", 10000, 1, 0, nil},
	{"Twist", "geometry_msgs/Twist", 4000, 1, 0, nil},
	{"Imu", "sensor_msgs/Imu", 3000, 1, 0, nil},
	{"Odometry", "nav_msgs/Odometry", 1500, 1, 0, nil},
	{"Odometry_4_columns", "nav_msgs/Odometry", 1500, 1, 0, []string{"header.stamp", "pose.pose.position.x", "pose.pose.position.y", "twist.twist.linear.x"}},
	{"JointState_7", "sensor_msgs/JointState", 3000, 7, 0, nil},
	{"JointState_4_10000_messages", "sensor_msgs/JointState", 10000, 4, 0, nil}, // its allocs/op are those of 10,000 messages
	{"TFMessage_3", "tf2_msgs/TFMessage", 3000, 3, 0, nil},
	{"Path_50", "nav_msgs/Path", 100, 50, 0, nil},
	{"Diagnostics_5", "diagnostic_msgs/DiagnosticArray", 500, 5, 0, nil},
	{"PointCloud2_without_data", "sensor_msgs/PointCloud2", 64, 4, 64 << 10, []string{"header.stamp", "height", "width"}},
	{"PointCloud2", "sensor_msgs/PointCloud2", 64, 4, 64 << 10, nil},
}

// BenchmarkAppend decodes blocks of about a megabyte into columns that keep
// their memory. MB/s counts message bytes.
func BenchmarkAppend(b *testing.B) {
	for _, d := range []dialect{dialects[0], dialects[1]} {
		for _, c := range loads {
			b.Run(fmt.Sprintf("%s/%s", d.name, c.name), func(b *testing.B) {
				l := newLoad(b, d, c.typ, c.messages, c.elems, c.size, c.columns)
				l.run(b)
				b.SetBytes(int64(len(l.data)))
				b.ReportAllocs()
				b.ResetTimer()
				for b.Loop() {
					l.run(b)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(l.spans)), "ns/msg")
			})
		}
	}
}

// 10,000 messages with strings and sequences cost no allocation once the
// columns have their memory, bar the collector emptying a pool.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("allocations are not those of a normal build")
	}
	for _, d := range dialects {
		for _, typ := range []string{"sensor_msgs/JointState", "diagnostic_msgs/DiagnosticArray", "tf2_msgs/TFMessage"} {
			l := newLoad(t, d, typ, 500, 2, 0, nil)
			for len(l.spans) < 10000 {
				l.spans = append(l.spans, l.spans[:500]...)
			}
			l.run(t)
			if n := testing.AllocsPerRun(5, func() { l.run(t) }); n > 2 {
				t.Errorf("%s %s: %v allocations for %d messages", d.name, typ, n, len(l.spans))
			}
		}
	}
}
