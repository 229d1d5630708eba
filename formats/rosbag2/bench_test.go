package rosbag2

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"testing"

	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/formats/message/cdr"
	"github.com/drivemill/drivemill/formats/rosbag2/bagtest"
	"github.com/drivemill/drivemill/pipeline"
)

// doubles is CDR of a header and then only float64: an Imu has 37, an Odometry
// a string more and 85.
func doubles(frame, child string, n int) []byte {
	b := []byte{0, 1, 0, 0}
	text := func(s string) {
		for (len(b)-4)%4 != 0 {
			b = append(b, 0)
		}
		b = append(append(binary.LittleEndian.AppendUint32(b, uint32(len(s)+1)), s...), 0)
	}
	b = append(b, 1, 0, 0, 0, 2, 0, 0, 0)
	text(frame)
	if child != "" {
		text(child)
	}
	for (len(b)-4)%8 != 0 {
		b = append(b, 0)
	}
	for i := range n {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(float64(i)*1.25))
	}
	return b
}

const benchMessages = 100_000

// benchDB is a database of Imu and, half as many, Odometry messages; with tiny,
// of strings of one letter.
func benchDB(tiny bool) []byte {
	db := &bagtest.DB{Distro: "humble", NoIndex: true, Topics: []bagtest.Topic{{Name: "/imu", Type: "sensor_msgs/msg/Imu"}, {Name: "/odom", Type: "nav_msgs/msg/Odometry"}, {Name: "/s", Type: "std_msgs/msg/String"}}}
	data := [][]byte{doubles("imu_link", "", 37), doubles("odom", "base_link", 85), text("x")}
	for i := range benchMessages {
		topic := 0
		switch {
		case tiny:
			topic = 2
		case i%3 == 2:
			topic = 1
		}
		db.Messages = append(db.Messages, bagtest.Message{Topic: topic, Time: 1e18 + int64(i)*5e6, Data: data[topic]})
	}
	return db.Bytes()
}

func benchDecode(b *testing.B, data []byte, sel func(d *pipeline.Description) pipeline.Selection, rows int64) {
	b.Helper()
	src := inMemory{"x_0.db3", data}
	f := New(cdr.Encoding{})
	d, err := f.Describe(context.Background(), src)
	if err != nil {
		b.Fatal(err)
	}
	d.Index.(*recording).parts[0].db.scanned = false // as with metadata.yaml
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		dec, err := f.Open(context.Background(), src, d, sel(d), pipeline.DecodeOptions{})
		if err != nil {
			b.Fatal(err)
		}
		n := int64(0)
		for {
			el, err := dec.Next(context.Background())
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				b.Fatal(err)
			}
			if el.Batch != nil {
				n += int64(el.Batch.Rows())
				el.Batch.Release()
			}
		}
		if err := dec.Close(); err != nil || n != rows {
			b.Fatalf("%d rows, %v", n, err)
		}
	}
}

func all(*pipeline.Description) pipeline.Selection { return pipeline.Selection{} }

func BenchmarkImuOdometry(b *testing.B) { benchDecode(b, benchDB(false), all, benchMessages) }
func BenchmarkTiny(b *testing.B)        { benchDecode(b, benchDB(true), all, benchMessages) }

func BenchmarkOneColumn(b *testing.B) {
	benchDecode(b, benchDB(false), func(d *pipeline.Description) pipeline.Selection {
		return pipeline.Selection{Tables: []pipeline.TableSelection{{Table: d.Tables[0].Table, Columns: []string{"linear_acceleration.z"}}}}
	}, (benchMessages*2+2)/3)
}

// BenchmarkPageWalk is what the others are measured against: all messages are
// found, and none is decoded.
func BenchmarkPageWalk(b *testing.B) {
	for _, tiny := range []bool{false, true} {
		b.Run(map[bool]string{false: "ImuOdometry", true: "Tiny"}[tiny], func(b *testing.B) {
			data := benchDB(tiny)
			src := inMemory{"x_0.db3", data}
			db, file, err := openDatabase(context.Background(), src)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			var blk message.Block
			for b.Loop() {
				w := newDBWalker(db, file, 0)
				n := 0
				for {
					blk.Stored, blk.Records = blk.Stored[:0], blk.Records[:0]
					if err := w.Fetch(context.Background(), &blk); err == io.EOF {
						break
					} else if err != nil {
						b.Fatal(err)
					}
					w.list(&blk)
					n += len(blk.Records)
				}
				w.Close()
				if n != benchMessages {
					b.Fatal(n)
				}
			}
		})
	}
}
