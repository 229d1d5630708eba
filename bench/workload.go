// Package bench has the workloads that drivemill is measured with, end-to-end
// benchmarks over them, and checks of memory that take too long for the tests.
package bench

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/foxglove/mcap/go/mcap"
)

// Workload is a synthetic recording: per second 100 Imu, 50 Odometry and 20
// JointState messages, as a car's logger would write them.
type Workload struct {
	// Bytes of messages to write, about.
	Bytes int64
	// Compression of the chunks: zstd, lz4 or empty for none.
	Compression string
	// ChunkSize is the size of a chunk before compression; 0 means 4 MiB.
	ChunkSize int64
	// Topics is how many copies of each topic there are; 0 means 1.
	Topics int
	// Only lists the topics that are written, of /imu, /odom and /joints; nil
	// means all.
	Only []string
	// Precise readings fill all bits of a float64, as those of a filter do, and
	// compress less.
	Precise bool
}

// start is the log time of the first message.
const start = 1_772_439_300_000_000_000

// stream is one topic of the workload.
type stream struct {
	topic, typ string
	period     int64 // ns
	encode     func(b []byte, seq uint32, t int64, wave signal) []byte
}

func (w Workload) streams() []stream {
	kinds := []stream{
		{"/imu", "sensor_msgs/Imu", 10_000_000, imu},
		{"/odom", "nav_msgs/Odometry", 20_000_000, odometry},
		{"/joints", "sensor_msgs/JointState", 50_000_000, jointState},
	}
	if w.Only != nil {
		kinds = slices.DeleteFunc(kinds, func(s stream) bool { return !slices.Contains(w.Only, s.topic) })
	}
	if w.Topics <= 1 {
		return kinds
	}
	var out []stream
	for i := range w.Topics {
		for _, k := range kinds {
			k.topic = fmt.Sprintf("%s_%d", k.topic, i)
			out = append(out, k)
		}
	}
	return out
}

// Write writes the recording as MCAP and returns the number of messages and
// the size of their bodies.
func (w Workload) Write(out io.Writer) (messages, bytes int64, err error) {
	if w.ChunkSize == 0 {
		w.ChunkSize = 4 << 20
	}
	mw, err := mcap.NewWriter(out, &mcap.WriterOptions{Chunked: true, ChunkSize: w.ChunkSize, Compression: mcap.CompressionFormat(w.Compression), IncludeCRC: true})
	if err != nil {
		return 0, 0, err
	}
	if err := mw.WriteHeader(&mcap.Header{Profile: "ros1"}); err != nil {
		return 0, 0, err
	}
	streams := w.streams()
	for i, s := range streams {
		id := uint16(i + 1)
		if err := mw.WriteSchema(&mcap.Schema{ID: id, Name: s.typ, Encoding: "ros1msg", Data: definition(s.typ)}); err != nil {
			return 0, 0, err
		}
		if err := mw.WriteChannel(&mcap.Channel{ID: id, SchemaID: id, Topic: s.topic, MessageEncoding: "ros1"}); err != nil {
			return 0, 0, err
		}
	}
	wave := signal(rounded)
	if w.Precise {
		wave = precise
	}
	var buf []byte
	seq := make([]uint32, len(streams))
	for t := int64(0); bytes < w.Bytes; t += 10_000_000 {
		for i, s := range streams {
			if t%s.period != 0 {
				continue
			}
			seq[i]++
			buf = s.encode(buf[:0], seq[i], start+t, wave)
			m := &mcap.Message{ChannelID: uint16(i + 1), Sequence: seq[i], LogTime: uint64(start + t + 1_000_000 + int64(i)), PublishTime: uint64(start + t), Data: buf}
			if err := mw.WriteMessage(m); err != nil {
				return messages, bytes, err
			}
			messages++
			bytes += int64(len(buf))
		}
	}
	return messages, bytes, mw.Close()
}

// fields of the message types used, in the order of the wire.
var fields = map[string]string{
	"std_msgs/Header":                   "uint32 seq\ntime stamp\nstring frame_id\n",
	"geometry_msgs/Vector3":             "float64 x\nfloat64 y\nfloat64 z\n",
	"geometry_msgs/Point":               "float64 x\nfloat64 y\nfloat64 z\n",
	"geometry_msgs/Quaternion":          "float64 x\nfloat64 y\nfloat64 z\nfloat64 w\n",
	"geometry_msgs/Pose":                "Point position\nQuaternion orientation\n",
	"geometry_msgs/Twist":               "Vector3 linear\nVector3 angular\n",
	"geometry_msgs/PoseWithCovariance":  "Pose pose\nfloat64[36] covariance\n",
	"geometry_msgs/TwistWithCovariance": "Twist twist\nfloat64[36] covariance\n",
	"sensor_msgs/Imu": "Header header\ngeometry_msgs/Quaternion orientation\nfloat64[9] orientation_covariance\n" +
		"geometry_msgs/Vector3 angular_velocity\nfloat64[9] angular_velocity_covariance\n" +
		"geometry_msgs/Vector3 linear_acceleration\nfloat64[9] linear_acceleration_covariance\n",
	"nav_msgs/Odometry":      "Header header\nstring child_frame_id\ngeometry_msgs/PoseWithCovariance pose\ngeometry_msgs/TwistWithCovariance twist\n",
	"sensor_msgs/JointState": "Header header\nstring[] name\nfloat64[] position\nfloat64[] velocity\nfloat64[] effort\n",
}

// dependencies lists what each type is made of.
var dependencies = map[string][]string{
	"sensor_msgs/Imu": {"std_msgs/Header", "geometry_msgs/Quaternion", "geometry_msgs/Vector3"},
	"nav_msgs/Odometry": {"std_msgs/Header", "geometry_msgs/PoseWithCovariance", "geometry_msgs/Pose", "geometry_msgs/Point", "geometry_msgs/Quaternion",
		"geometry_msgs/TwistWithCovariance", "geometry_msgs/Twist", "geometry_msgs/Vector3"},
	"sensor_msgs/JointState": {"std_msgs/Header"},
}

// definition spells out a message type as a recording holds it.
func definition(name string) []byte {
	def := fields[name]
	for _, d := range dependencies[name] {
		def += strings.Repeat("=", 80) + "\nMSG: " + d + "\n" + fields[d]
	}
	return []byte(def)
}

func header(b []byte, seq uint32, t int64, frame string) []byte {
	b = binary.LittleEndian.AppendUint32(b, seq)
	b = binary.LittleEndian.AppendUint32(b, uint32(t/1e9))
	b = binary.LittleEndian.AppendUint32(b, uint32(t%1e9))
	return str(b, frame)
}

func str(b []byte, s string) []byte {
	return append(binary.LittleEndian.AppendUint32(b, uint32(len(s))), s...)
}

func f64(b []byte, vs ...float64) []byte {
	for _, v := range vs {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
	}
	return b
}

// signal is a reading of some frequency.
type signal func(seq uint32, k float64) float64

// rounded is a smooth signal with the resolution of a sensor.
func rounded(seq uint32, k float64) float64 {
	return math.Round(precise(seq, k)*1000) / 1000
}

func precise(seq uint32, k float64) float64 { return math.Sin(float64(seq) * 0.01 * k) }

func covariance(b []byte, n int, v float64) []byte {
	side := int(math.Sqrt(float64(n)))
	for i := range n {
		x := 0.0
		if i%(side+1) == 0 {
			x = v
		}
		b = f64(b, x)
	}
	return b
}

func imu(b []byte, seq uint32, t int64, wave signal) []byte {
	b = header(b, seq, t, "imu_link")
	b = f64(b, 0, 0, wave(seq, 0.3), wave(seq+50, 0.3))
	b = covariance(b, 9, 0.01)
	b = f64(b, wave(seq, 1), wave(seq, 2), wave(seq, 3))
	b = covariance(b, 9, 0.02)
	b = f64(b, wave(seq, 4), wave(seq, 5), 9.81+wave(seq, 6))
	return covariance(b, 9, 0.03)
}

func odometry(b []byte, seq uint32, t int64, wave signal) []byte {
	b = header(b, seq, t, "odom")
	b = str(b, "base_link")
	b = f64(b, float64(seq)*0.1, wave(seq, 0.1), 0, 0, 0, wave(seq, 0.2), wave(seq+70, 0.2))
	b = covariance(b, 36, 0.1)
	b = f64(b, 5+wave(seq, 0.5), 0, 0, 0, 0, wave(seq, 0.7))
	return covariance(b, 36, 0.2)
}

var jointNames = []string{"front_left", "front_right", "rear_left", "rear_right"}

func jointState(b []byte, seq uint32, t int64, wave signal) []byte {
	b = header(b, seq, t, "")
	n := 1 + int(seq)%len(jointNames)
	b = binary.LittleEndian.AppendUint32(b, uint32(n))
	for _, name := range jointNames[:n] {
		b = str(b, name)
	}
	for k := range 3 {
		b = binary.LittleEndian.AppendUint32(b, uint32(n))
		for j := range n {
			b = f64(b, wave(seq, float64(1+k+j)))
		}
	}
	return b
}
