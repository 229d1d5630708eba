package main

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"math"
	"time"

	"github.com/foxglove/mcap/go/mcap"
)

// A second of cameras and a lidar: as small as they can be.
var sensorTopics = []topic{
	{"/camera/image", "sensor_msgs/Image", "camera_image"},
	{"/camera/jpeg", "sensor_msgs/CompressedImage", "camera_jpeg"},
	{"/camera/h264", "sensor_msgs/CompressedImage", "camera_h264"},
	{"/lidar/points", "sensor_msgs/PointCloud2", "lidar_points"},
	{"/lidar/scan", "sensor_msgs/LaserScan", "lidar_scan"},
}

var sensorStart = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC).UnixNano()

// Frames of each camera, and sweeps of the lidar.
const sensorFrames = 10

// writeSensors writes the second as MCAP of ROS 1 and of ROS 2.
func writeSensors(out *output) error {
	var messages []message
	for k := range int64(sensorFrames) {
		for i, body := range []func(k int, st int64) record{rawImage, jpegImage, h264Image, pointCloud, laserScan} {
			// Frames do not come at even times.
			st := sensorStart + k*100_000_000 + int64(i)*3_000_000 + k%3*1_234_567
			messages = append(messages, message{topic: i, seq: uint32(k), log: st + 2_000_000, stamp: st, body: body(int(k), st)})
		}
	}
	opts := mcap.WriterOptions{Chunked: true, ChunkSize: 8 << 10, Compression: mcap.CompressionZSTD, IncludeCRC: true}
	ros1, ros2 := newDialect(false), newDialect(true)
	for _, d := range []struct {
		name string
		*dialect
	}{{"sensors/v01/20260302T090000Z/front.mcap", ros1}, {"sensors/v02/20260302T090000Z/front.mcap", ros2}} {
		data, err := writeMCAP(d.dialect, sensorTopics, messages, opts)
		if err != nil {
			return err
		}
		if err := out.write(d.name, data); err != nil {
			return err
		}
	}
	twins := make([]bytes.Buffer, len(sensorTopics))
	for _, m := range messages {
		twins[m.topic].Write(ros2.twin(sensorTopics[m.topic].typ, m.log, m.body))
	}
	for i, t := range sensorTopics {
		if err := out.write("sensors/expected/"+t.table+".ndjson", twins[i].Bytes()); err != nil {
			return err
		}
	}
	return nil
}

// rawImage is 8 x 6 pixels of RGB, with two bytes of padding behind each line.
func rawImage(k int, st int64) record {
	const width, height, step = 8, 6, 26
	data := make([]byte, step*height)
	for y := range height {
		for x := range width {
			copy(data[y*step+3*x:], []byte{byte(x * 30), byte(y * 40), byte(k * 20)})
		}
	}
	return record{header(st, "camera"), uint32(height), uint32(width), "rgb8", uint8(0), uint32(step), data}
}

// photo is 16 x 8 pixels as JPEG, by libjpeg.
const photo = "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAA0JCgsKCA0LCgsODg0PEyAVExISEyccHhcgLikxMC4pLSwzOko+MzZGNywtQFdBRkxOUlNSMj5aYVpQYEpRUk//2wBDAQ4ODhMREyYVFSZPNS01T09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT0//wAARCAAIABADASIAAhEBAxEB/8QAFQABAQAAAAAAAAAAAAAAAAAAAAX/xAAZEAABBQAAAAAAAAAAAAAAAAAABAYiMaH/xAAVAQEBAAAAAAAAAAAAAAAAAAADBP/EABkRAAIDAQAAAAAAAAAAAAAAAAADBAUhUf/aAAwDAQACEQMRAD8AmJW7UMLCVu1DAAny29Jaqc7NP//Z"

func jpegImage(_ int, st int64) record {
	data, err := base64.StdEncoding.DecodeString(photo)
	if err != nil {
		panic(err)
	}
	return record{header(st, "camera"), "jpeg", data}
}

// h264Image is a picture of 32 x 16 pixels; every fourth begins anew.
func h264Image(k int, st int64) record {
	return record{header(st, "camera"), "h264", h264Frame(k, 4, 2, 1)}
}

// pointCloud is organised, 2 x 3 points of 20 bytes, of which 18 are used.
func pointCloud(k int, st int64) record {
	const width, height, step = 3, 2, 20
	var data []byte
	for i := range width * height {
		p := make([]byte, step)
		x := float32(i) + float32(k)/8
		if i == 4 {
			x = float32(math.NaN()) // no echo
		}
		for at, v := range map[int]float32{0: x, 4: float32(-i), 8: 0.5, 12: float32(10 * i)} {
			binary.LittleEndian.PutUint32(p[at:], math.Float32bits(v))
		}
		binary.LittleEndian.PutUint16(p[16:], uint16(i/width))
		data = append(data, p...)
	}
	fields := list{
		record{"x", uint32(0), uint8(7), uint32(1)}, record{"y", uint32(4), uint8(7), uint32(1)}, record{"z", uint32(8), uint8(7), uint32(1)},
		record{"intensity", uint32(12), uint8(7), uint32(1)}, record{"ring", uint32(16), uint8(4), uint32(1)},
	}
	return record{header(st, "lidar"), uint32(height), uint32(width), fields, false, uint32(step), uint32(step * width), data, false}
}

// laserScan has five beams; one has no echo, and every other scan no intensities.
func laserScan(k int, st int64) record {
	ranges, intensities := list{}, list{}
	for i := range 5 {
		r := float32(2 + i)
		if i == 2 {
			r = float32(math.Inf(1))
		}
		ranges = append(ranges, r)
		if k%2 == 0 {
			intensities = append(intensities, float32(100-i))
		}
	}
	return record{header(st, "lidar"), float32(-0.5), float32(0.5), float32(0.25), float32(0), float32(0.1), float32(0.1), float32(30), ranges, intensities}
}
