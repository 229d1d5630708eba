package wire

import (
	"encoding/binary"
	"math/bits"

	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
)

// gather appends to c the value v of each run of data that begins at one of
// the positions. The walk has seen that all of it lies inside data.
func gather(c *column.Column, data []byte, at []uint32, v *value, be bool) {
	data = data[v.off:]
	switch {
	case v.bin && c.Long != nil:
		for _, p := range at {
			c.AppendBytes(data[p : int(p)+v.n])
		}
	case v.bin:
		c.Grow(v.n * len(at))
		c.GrowOffsets(len(at))
		for _, p := range at {
			c.Data = append(c.Data, data[p:int(p)+v.n]...)
			c.Offsets = append(c.Offsets, int32(len(c.Data)))
		}
		c.N += len(at)
	case v.n > 0:
		child, size := c.Children[0], v.n*int(v.size)
		if v.conv == convCopy && !be {
			child.Grow(size * len(at))
			for _, p := range at {
				child.Data = append(child.Data, data[p:int(p)+size]...)
			}
			child.N += v.n * len(at)
		} else {
			for _, p := range at {
				appendValues(child, v.conv, int(v.size), data[p:int(p)+size], v.n, be)
			}
		}
		c.N += len(at)
	case v.conv == convBool:
		gatherBools(c, data, at)
	case v.conv != convCopy:
		gatherTimes(c, data, at, v.conv, be)
	default:
		gatherNumbers(c, data, at, int(v.size), be)
	}
}

// extend adds n bytes to the data of c and returns them, to be overwritten.
func extend(c *column.Column, n int) []byte {
	c.Grow(n)
	l := len(c.Data)
	c.Data = c.Data[:l+n]
	return c.Data[l:]
}

func gatherNumbers(c *column.Column, data []byte, at []uint32, size int, be bool) {
	out := extend(c, size*len(at))
	c.N += len(at)
	switch size {
	case 1:
		for i, p := range at {
			out[i] = data[p]
		}
	case 2:
		for i, p := range at {
			binary.LittleEndian.PutUint16(out[2*i:], binary.LittleEndian.Uint16(data[p:]))
		}
	case 4:
		out := arrow.Uint32s(out)[:len(at)]
		for i, p := range at {
			out[i] = binary.LittleEndian.Uint32(data[p:])
		}
	case 8:
		out := arrow.Uint64s(out)[:len(at)]
		for i, p := range at {
			out[i] = binary.LittleEndian.Uint64(data[p:])
		}
	}
	if be {
		swap(out, size)
	}
}

func gatherBools(c *column.Column, data []byte, at []uint32) {
	for _, p := range at {
		c.AppendBool(data[p] != 0)
	}
}

func gatherTimes(c *column.Column, data []byte, at []uint32, kind conv, be bool) {
	out := arrow.Int64s(extend(c, 8*len(at)))[:len(at)]
	c.N += len(at)
	for i, p := range at {
		out[i] = nanoseconds(data[p:], kind, be)
	}
}

// nanoseconds reads a time or duration. Nanoseconds beyond a second carry
// over; nothing overflows: |seconds| <= 2^32-1 makes at most 4.2949673e18 ns,
// and the nanoseconds, at most 4.3e9, leave that far below 2^63 = 9.22e18.
func nanoseconds(b []byte, kind conv, be bool) int64 {
	v := binary.LittleEndian.Uint64(b)
	sec, nsec := uint32(v), uint32(v>>32)
	if be {
		sec, nsec = bits.ReverseBytes32(sec), bits.ReverseBytes32(nsec)
	}
	switch kind {
	case convTime:
		return int64(sec)*1e9 + int64(nsec)
	case convSpan:
		return int64(int32(sec))*1e9 + int64(int32(nsec))
	}
	return int64(int32(sec))*1e9 + int64(nsec)
}

// appendValues appends the n values of a list, which lie side by side.
func appendValues(c *column.Column, kind conv, size int, data []byte, n int, be bool) {
	switch kind {
	case convCopy:
		l := len(c.Data)
		if l+len(data) > cap(c.Data) {
			c.Grow(len(data))
		}
		c.Data = append(c.Data, data...)
		c.N += n
		if be {
			swap(c.Data[l:], size)
		}
	case convBool:
		for _, b := range data[:n] {
			c.AppendBool(b != 0)
		}
	default:
		out := arrow.Int64s(extend(c, 8*n))[:n]
		for i := range out {
			out[i] = nanoseconds(data[8*i:], kind, be)
		}
		c.N += n
	}
}

// swap reverses the bytes of each value.
func swap(b []byte, size int) {
	switch size {
	case 2:
		for i := 0; i+2 <= len(b); i += 2 {
			b[i], b[i+1] = b[i+1], b[i]
		}
	case 4:
		for i := 0; i+4 <= len(b); i += 4 {
			binary.LittleEndian.PutUint32(b[i:], binary.BigEndian.Uint32(b[i:]))
		}
	case 8:
		for i := 0; i+8 <= len(b); i += 8 {
			binary.LittleEndian.PutUint64(b[i:], binary.BigEndian.Uint64(b[i:]))
		}
	}
}
