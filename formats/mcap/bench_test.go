package mcap_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"testing"

	foxglove "github.com/foxglove/mcap/go/mcap"

	"github.com/drivemill/drivemill/formats/mcap"
	"github.com/drivemill/drivemill/formats/message/cdr"
	"github.com/drivemill/drivemill/formats/message/ros1"
	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
)

// written is a recording made by the library of the format's authors, of n
// messages of one type in turn over some topics.
func written(tb testing.TB, codec foxglove.CompressionFormat, encoding, schemaEncoding, name, schema string, topics, n int, data func(i int) []byte) []byte {
	tb.Helper()
	var out bytes.Buffer
	w, err := foxglove.NewWriter(&out, &foxglove.WriterOptions{Chunked: true, ChunkSize: 1 << 20, Compression: codec, IncludeCRC: true})
	check := func(err error) {
		if err != nil {
			tb.Fatal(err)
		}
	}
	check(err)
	check(w.WriteHeader(&foxglove.Header{Profile: map[string]string{"cdr": "ros2", "ros1": "ros1"}[encoding]}))
	check(w.WriteSchema(&foxglove.Schema{ID: 1, Name: name, Encoding: schemaEncoding, Data: []byte(schema)}))
	for i := range topics {
		check(w.WriteChannel(&foxglove.Channel{ID: uint16(i), SchemaID: 1, Topic: fmt.Sprintf("/t%d", i), MessageEncoding: encoding}))
	}
	for i := range n {
		check(w.WriteMessage(&foxglove.Message{ChannelID: uint16(i % topics), Sequence: uint32(i), LogTime: uint64(1e18 + i*1e6), PublishTime: uint64(1e18 + i*1e6), Data: data(i)}))
	}
	check(w.Close())
	return out.Bytes()
}

const imu = `std_msgs/Header header
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

// imuMessage has noise in its values and constant covariances, as real ones.
func imuMessage(rnd *rand.Rand, i int) []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(i))
	b = binary.LittleEndian.AppendUint32(b, uint32(1e9+i/1000))
	b = binary.LittleEndian.AppendUint32(b, uint32(i%1000*1e6))
	b = append(binary.LittleEndian.AppendUint32(b, 4), "base"...)
	put := func(n int, f func(k int) float64) {
		for k := range n {
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(f(k)))
		}
	}
	noise := func(int) float64 { return math.Round(rnd.NormFloat64()*1e4) / 1e4 }
	diag := func(k int) float64 {
		if k%4 == 0 {
			return 0.01
		}
		return 0
	}
	put(4, noise)
	put(9, diag)
	put(3, noise)
	put(9, diag)
	put(3, noise)
	put(9, diag)
	return b
}

// decodeAll decodes a whole recording and returns the number of rows.
func decodeAll(b *testing.B, f *mcap.Format, src *memory, d *pipeline.Description, sel pipeline.Selection, opt pipeline.DecodeOptions) int {
	dec, err := f.Open(b.Context(), src, d, sel, opt)
	if err != nil {
		b.Fatal(err)
	}
	defer dec.Close()
	rows := 0
	for {
		el, err := dec.Next(b.Context())
		if errors.Is(err, io.EOF) {
			return rows
		}
		if err != nil {
			b.Fatal(err)
		}
		if el.Batch != nil {
			rows += el.Batch.Rows()
			el.Batch.Release()
		}
	}
}

// BenchmarkDecode decodes into columns: bytes of the unpacked chunks a second.
func BenchmarkDecode(b *testing.B) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var odom [8]byte
	tiny := func(i int) []byte {
		binary.LittleEndian.PutUint64(odom[:], math.Float64bits(float64(i)))
		return odom[:]
	}
	const float = "float64 data"
	imus := func(i int) []byte { return imuMessage(rnd, i) }
	few := []string{"log_time", "header.stamp", "linear_acceleration.x"}
	for _, bc := range []struct {
		name             string
		codec            foxglove.CompressionFormat
		typeName, schema string
		topics, n        int
		columns          []string
		data             func(i int) []byte
	}{
		{"tiny/none", "", "std_msgs/Float64", float, 1, 1_000_000, nil, tiny},
		{"tiny/zstd", "zstd", "std_msgs/Float64", float, 1, 1_000_000, nil, tiny},
		{"tiny/20topics", "", "std_msgs/Float64", float, 20, 1_000_000, nil, tiny},
		{"imu/none", "", "sensor_msgs/Imu", imu, 1, 200_000, nil, imus},
		{"imu/zstd", "zstd", "sensor_msgs/Imu", imu, 1, 200_000, nil, imus},
		{"imu/lz4", "lz4", "sensor_msgs/Imu", imu, 1, 200_000, nil, imus},
		{"imu/zstd/3columns", "zstd", "sensor_msgs/Imu", imu, 1, 200_000, few, imus},
	} {
		var src *memory
		for _, workers := range []int{1, 2} {
			b.Run(fmt.Sprintf("%s/workers=%d", bc.name, workers), func(b *testing.B) {
				if src == nil {
					src = &memory{data: written(b, bc.codec, "ros1", "ros1msg", bc.typeName, bc.schema, bc.topics, bc.n, bc.data)}
				}
				f := mcap.New(ros1.Encoding{}, cdr.Encoding{})
				d, err := f.Describe(b.Context(), src)
				if err != nil {
					b.Fatal(err)
				}
				var sel pipeline.Selection
				if bc.columns != nil {
					sel.Tables = []pipeline.TableSelection{{Table: d.Tables[0].Table, Columns: bc.columns}}
				}
				opt := pipeline.DecodeOptions{Workers: workers, Allocator: column.NewPool(arrow.NewGoAllocator(), 256<<20)}
				b.SetBytes(d.Compression[0].Raw)
				b.ReportAllocs()
				for b.Loop() {
					if rows := decodeAll(b, f, src, d, sel, opt); rows != bc.n {
						b.Fatalf("%d rows, want %d", rows, bc.n)
					}
				}
				b.ReportMetric(float64(bc.n)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
			})
		}
	}
}

// BenchmarkScan describes a recording without an index.
func BenchmarkScan(b *testing.B) {
	data := written(b, "zstd", "ros1", "ros1msg", "std_msgs/Float64", "float64 data", 1, 1_000_000, func(i int) []byte { return binary.LittleEndian.AppendUint64(nil, uint64(i)) })
	src := &memory{data: data[:len(data)-8]}
	f := mcap.New(ros1.Encoding{})
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		d, err := f.Describe(b.Context(), src)
		if err != nil || d.Tables[0].Rows != 1_000_000 {
			b.Fatalf("%v %+v", err, d)
		}
	}
}
