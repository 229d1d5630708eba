package main

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"math"
	"sort"
	"time"
)

// The drive: a minute on invented roads, from a standing start through two
// bends, a stop at a crossing, and on.
const (
	driveSeconds = 60
	originLat    = 52.0870 // of the odometry frame
	originLon    = 11.6420
	metresPerLat = 111_320.0
	metresPerLon = 68_430.0 // at that latitude
	ticksPerM    = 48
)

var driveStart = time.Date(2026, 3, 2, 8, 15, 0, 0, time.UTC).UnixNano()

// topic is one stream of messages.
type topic struct {
	name  string
	typ   string
	table string // file name of the twin
}

var topics = []topic{
	{"/gps/fix", "sensor_msgs/NavSatFix", "gps_fix"},
	{"/odom", "nav_msgs/Odometry", "odom"},
	{"/imu", "sensor_msgs/Imu", "imu"},
	{"/vehicle/state", "demo_msgs/VehicleState", "vehicle_state"},
	{"/camera/front/compressed", "sensor_msgs/CompressedImage", "camera_front_compressed"},
	{"/diagnostics", "diagnostic_msgs/DiagnosticArray", "diagnostics"},
}

const (
	gps = iota
	odom
	imu
	vehicle
	camera
	diagnostics
)

// message is one message of the drive.
type message struct {
	topic int
	seq   uint32 // counts within the topic
	log   int64
	stamp int64
	body  record
}

// pose is the state of the car at one moment.
type pose struct {
	x, y, heading, speed, yawRate, accel, distance float64
}

// track integrates the drive in steps of 10 ms.
func track() []pose {
	const step = 0.01
	target := func(t float64) (speed, yawRate float64) {
		switch {
		case t < 3:
			return 0, 0
		case t < 14:
			return 13.5, 0
		case t < 18:
			return 8, 0.35
		case t < 26:
			return 13.8, 0
		case t < 34:
			return 0, 0
		case t < 44:
			return 11, -0.12
		case t < 56:
			return 16.5, 0.02
		}
		return 6, 0
	}
	p := pose{heading: 0.42}
	out := make([]pose, 0, driveSeconds*100+1)
	for i := 0; i <= driveSeconds*100; i++ {
		out = append(out, p)
		want, yaw := target(float64(i) * step)
		p.accel = max(-3.2, min(2.4, (want-p.speed)*1.1))
		p.speed = max(0, p.speed+float64(p.accel*step))
		if p.speed < 0.5 && want == 0 {
			p.speed, p.accel = 0, 0
		}
		p.yawRate += (yaw*min(1, p.speed/4) - p.yawRate) * 0.05
		p.heading += p.yawRate * step
		p.x += p.speed * step * math.Cos(p.heading)
		p.y += p.speed * step * math.Sin(p.heading)
		p.distance += p.speed * step
	}
	return out
}

// drive makes all messages in the order in which they were logged.
func drive() []message {
	path := track()
	at := func(ns int64) pose {
		i := int((ns - driveStart) / 10e6)
		return path[max(0, min(i, len(path)-1))]
	}
	var all []message
	// Each topic: messages per second, first second, phase and delay of the log.
	streams := []struct {
		rate  int64
		from  int64
		phase int64
		delay int64
		body  func(r *random, k int, stamp int64, p pose) record
	}{
		gps:         {5, 0, 41_000_000, 4_200_000, gpsFix},
		odom:        {20, 0, 2_500_000, 1_300_000, odometry},
		imu:         {50, 0, 700_000, 900_000, imuSample},
		vehicle:     {10, 0, 13_000_000, 2_100_000, vehicleState},
		camera:      {2, 12, 230_000_000, 7_800_000, cameraImage},
		diagnostics: {1, 0, 500_000_000, 1_700_000, diagnosticArray},
	}
	for i, s := range streams {
		r := newRandom(uint64(2026_0302 + i))
		n := (driveSeconds - s.from) * s.rate
		for k := range n {
			st := driveStart + s.from*1e9 + k*(1e9/s.rate) + s.phase + r.between(0, 150_000)
			log := st + s.delay + r.between(0, 400_000)
			if i == imu && k == 1501 {
				// One nanosecond after the message before it, on both clocks.
				prev := all[len(all)-1]
				st, log = prev.stamp+1, prev.log+1
			}
			if i == vehicle && k == 200 {
				// Logged at the same instant as the fix of that moment.
				st, log = all[100].log-3_000_000, all[100].log
			}
			all = append(all, message{
				topic: i, seq: uint32(k), log: log, stamp: st,
				body: s.body(r, int(k), st, at(st)),
			})
		}
	}
	sort.SliceStable(all, func(a, b int) bool { return all[a].log < all[b].log })
	return all
}

func header(st int64, frame string) record { return record{stamp(st), frame} }

// floats makes a list of numbers.
func floats(v ...float64) list {
	l := make(list, len(v))
	for i, x := range v {
		l[i] = x
	}
	return l
}

// diagonal is a covariance matrix in row-major order.
func diagonal(d ...float64) list {
	l := make(list, len(d)*len(d))
	for i := range l {
		l[i] = 0.0
	}
	for i, x := range d {
		l[i*len(d)+i] = x
	}
	return l
}

func vector(x, y, z float64) record { return record{x, y, z} }

func gpsFix(r *random, k int, st int64, p pose) record {
	if k == 77 {
		// The receiver lost all satellites and reports nothing but zeros.
		return record{header(st, "gps_antenna"), record{int8(-1), uint16(0)}, 0.0, 0.0, 0.0, diagonal(0, 0, 0), uint8(0)}
	}
	cov := diagonal(1.44, 1.44, 4)
	switch k {
	case 42:
		cov[0] = math.NaN()
	case 43:
		cov[8] = math.Inf(1)
	case 44:
		cov[4] = math.Inf(-1)
	}
	return record{
		header(st, "gps_antenna"),
		record{int8(r.below(3)), uint16(1 | 8)},
		round(originLat+p.y/metresPerLat+r.noise(4e-6), 7),
		round(originLon+p.x/metresPerLon+r.noise(6e-6), 7),
		round(61.2+r.noise(0.6), 2),
		cov,
		uint8(2),
	}
}

func yawQuaternion(heading float64) record {
	return record{0.0, 0.0, round(math.Sin(heading/2), 5), round(math.Cos(heading/2), 5)}
}

func odometry(r *random, k int, st int64, p pose) record {
	return record{
		header(st, "odom"),
		"base_link",
		record{
			record{vector(round(p.x, 3), round(p.y, 3), 0), yawQuaternion(p.heading)},
			diagonal(0.01, 0.01, 1e-9, 1e-9, 1e-9, 0.0025),
		},
		record{
			record{vector(round(p.speed, 3), 0, 0), vector(0, 0, round(p.yawRate, 4))},
			diagonal(0.0004, 0.0004, 1e-9, 1e-9, 1e-9, 0.0001),
		},
	}
}

func imuSample(r *random, k int, st int64, p pose) record {
	acc := vector(round(p.accel+r.noise(0.08), 2), round(p.speed*p.yawRate+r.noise(0.08), 2), round(9.81+r.noise(0.1), 2))
	gyro := vector(round(r.noise(0.004), 3), round(r.noise(0.004), 3), round(p.yawRate+r.noise(0.004), 3))
	if k == 2222 {
		acc[2] = math.Inf(-1) // a saturated sensor
	}
	// This sensor estimates no orientation, which -1 in the covariance says.
	return record{
		header(st, "imu_link"),
		record{0.0, 0.0, 0.0, 1.0},
		floats(-1, 0, 0, 0, 0, 0, 0, 0, 0),
		gyro,
		diagonal(4e-6, 4e-6, 4e-6),
		acc,
		diagonal(0.0016, 0.0016, 0.0016),
	}
}

var driverNotes = map[int]string{
	0:   "start of shift",
	61:  "Kreuzung frei – grün",
	143: "Fußgänger links, \"Vorsicht\"\nzweite Zeile",
	262: "停止線の手前で停車",
	263: "🚦 red\tgreen",
	402: "comma, semicolon; back\\slash",
}

func vehicleState(r *random, k int, st int64, p pose) record {
	gear := int8(min(6, 1+int(p.speed/3.2)))
	if p.speed == 0 {
		gear = 0
	}
	ticks := 18_446_744_000_000_000 + uint64(p.distance*ticksPerM)
	steering := float32(round(math.Atan2(p.yawRate*2.8, max(p.speed, 1)), 4))
	switch k {
	case 5:
		gear = math.MinInt8
	case 310:
		ticks = math.MaxUint64
	case 311:
		ticks = 0
	case 450:
		steering = float32(math.NaN())
	}
	wheels := list{}
	if k >= 4 { // the wheel sensors wake up late
		for w := range 4 {
			wheels = append(wheels, uint16(uint64(p.distance*ticksPerM)+uint64(w)))
		}
	}
	if k == 199 {
		wheels = list{uint16(math.MaxUint16)}
	}
	return record{
		header(st, ""),
		float32(round(p.speed, 2)),
		steering,
		gear,
		ticks,
		p.accel < -0.4,
		driverNotes[k],
		span(st - driveStart - 250_000_000), // counts from a start signal: negative at first
		wheels,
	}
}

func cameraImage(r *random, k int, st int64, p pose) record {
	if k == 9 {
		return record{header(st, "camera_front"), "", []byte{}} // a dropped frame
	}
	img := image.NewPaletted(image.Rect(0, 0, 32, 18), color.Palette{
		color.Gray{40}, color.Gray{90}, color.Gray{120}, color.Gray{170}, color.Gray{210}, color.White,
		color.RGBA{200, 30, 30, 255}, color.RGBA{30, 160, 40, 255},
	})
	lane := 16 + int(p.yawRate*20)
	for y := range 18 {
		for x := range 32 {
			c := uint8(4) // sky
			if y >= 8 {
				c = uint8(r.below(2)) // road
				if x == lane && (y+int(p.distance))%4 < 2 {
					c = 5
				}
			}
			img.SetColorIndex(x, y, c)
		}
	}
	if p.speed == 0 {
		img.SetColorIndex(28, 3, 6) // a red light
	}
	var buf bytes.Buffer
	// Stored without compression, so that the bytes do not change with the Go release.
	if err := (&png.Encoder{CompressionLevel: png.NoCompression}).Encode(&buf, img); err != nil {
		panic(err)
	}
	return record{header(st, "camera_front"), "png", buf.Bytes()}
}

func diagnosticArray(r *random, k int, st int64, p pose) record {
	kv := func(key, val string) record { return record{key, val} }
	statuses := list{
		record{int8(0), "gps: receiver", "OK", "gps-0", list{
			kv("satellites", itoa(7+r.below(6))), kv("fix", "3D"),
		}},
		record{int8(0), "imu: temperature", "", "imu-0", list{
			kv("celsius", itoa(31+k/9)), kv("", ""), kv("unit", "°C"),
		}},
		record{int8(0), "camera: front", "no frame yet", "", list{}},
	}
	if k >= 12 {
		s := statuses[2].(record)
		s[2], s[4] = "streaming", list{kv("fps", "2")}
	}
	switch {
	case k == 7:
		statuses = list{}
	case k == 15:
		statuses[0].(record)[0], statuses[0].(record)[2] = int8(2), "no fix"
	case k%20 == 19:
		statuses = append(statuses, record{int8(3), "", "", "", list{}})
	}
	return record{header(st, ""), statuses}
}
