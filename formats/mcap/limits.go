package mcap

import "math"

// Limits bound what a file can make a reader hold in memory. A zero field
// stands for its default.
type Limits struct {
	// Record is the largest content of a record that is held whole: all but
	// attachments. Default 1 GiB.
	Record int64
	// Chunk is the largest size of an unpacked chunk. Default 1 GiB, and never
	// more than 4 GiB less one byte.
	Chunk int64
	// Summary is the largest summary section that is read; with a larger one
	// the file is scanned. Default 1 GiB.
	Summary int64
}

const defaultLimit = 1 << 30

func (l Limits) record() int64 { return or(l.Record) }
func (l Limits) chunk() int64  { return min(or(l.Chunk), math.MaxUint32) }
func (l Limits) summary() int64 {
	return or(l.Summary)
}

func or(n int64) int64 {
	if n <= 0 {
		return defaultLimit
	}
	return n
}
