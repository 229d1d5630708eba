package mdf4

import (
	"math"
	"time"
)

// addSeconds returns start plus seconds rounded to the nanosecond, halves away
// from zero. It fails where the sum is no time of an int64.
func addSeconds(start int64, seconds float64) (int64, bool) {
	ns := math.Round(seconds * 1e9)
	if !(ns >= -(1<<63) && ns < 1<<63) {
		return 0, false
	}
	d := int64(ns)
	sum := start + d
	if (d > 0) != (sum > start) && d != 0 {
		return 0, false
	}
	return sum, true
}

// anchor is what sample times of a recording count from.
type anchor struct {
	start int64
	// utc: start is a time in UTC. Otherwise it is the reading of a clock on
	// a wall, whose zone nobody knows.
	utc bool
}

// anchor settles the start of the recording. A start in local time becomes one
// in UTC where the time zone is known; a wall clock reading that a change of
// clocks makes ambiguous is the first of the two.
func (f *file) anchor(zone *time.Location) anchor {
	if !f.hd.local {
		return anchor{f.hd.start, true}
	}
	if zone == nil {
		return anchor{f.hd.start, false}
	}
	wall := time.Unix(0, f.hd.start).UTC()
	t := time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), wall.Second(), wall.Nanosecond(), zone)
	return anchor{t.UnixNano(), true}
}

// canopenDays is the day 0 of a CANopen time, 1984-01-01, in days since 1970.
const canopenDays = 5113

const dayNanos = 24 * 60 * 60 * 1e9

// canopenTime is the time that 6 bytes of CANopen TIME_OF_DAY tell: 28 bits of
// milliseconds since midnight and 16 of days since 1984.
func canopenTime(b []byte) int64 {
	ms := int64(uint32(b[0])|uint32(b[1])<<8|uint32(b[2])<<16|uint32(b[3])<<24) & 0xfffffff
	days := int64(b[4]) | int64(b[5])<<8
	return (canopenDays+days)*dayNanos + ms*1e6
}

// canopenDate is the time that 7 bytes of a CANopen date tell; it is false
// where they are no date. Years below 70 are of this century.
func canopenDate(b []byte) (int64, bool) {
	ms := int(b[0]) | int(b[1])<<8
	minute, hour, day, month, year := int(b[2]&0x3f), int(b[3]&0x1f), int(b[4]&0x1f), int(b[5]&0x3f), int(b[6]&0x7f)
	if year < 70 {
		year += 2000
	} else {
		year += 1900
	}
	if ms > 59999 || minute > 59 || hour > 23 || month < 1 || month > 12 || day < 1 {
		return 0, false
	}
	t := time.Date(year, time.Month(month), day, hour, minute, ms/1000, ms%1000*1e6, time.UTC)
	return t.UnixNano(), t.Day() == day
}
