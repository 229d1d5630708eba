package parquet

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"

	pq "github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"github.com/drivemill/drivemill/pipeline"
)

// The encodings of data pages. Every decoder is given how many values there
// must be and produces that many or fails; none trusts a length in the page.

func corrupt(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, pipeline.ErrCorrupt)...)
}

// hybrid decodes len(dst) values of the RLE and bit-packing hybrid.
func hybrid[T uint8 | int32](dst []T, src []byte, width int) error {
	if width > 32 {
		return corrupt("values of %d bits", width)
	}
	if width == 0 {
		clear(dst)
		return nil
	}
	for len(dst) > 0 {
		h, n := binary.Uvarint(src)
		if n <= 0 {
			return corrupt("%d values are missing", len(dst))
		}
		src = src[n:]
		if h&1 == 0 {
			w := (width + 7) / 8
			if len(src) < w {
				return corrupt("a run without its value")
			}
			var v uint32
			for i := range w {
				v |= uint32(src[i]) << (8 * i)
			}
			src = src[w:]
			run := dst[:min(h>>1, uint64(len(dst)))]
			if len(run) == 0 {
				return corrupt("a run of nothing")
			}
			for i := range run {
				run[i] = T(v)
			}
			dst = dst[len(run):]
			continue
		}
		groups := h >> 1
		if groups == 0 {
			return corrupt("a run of nothing")
		}
		n = len(dst)
		if groups < uint64(n+7)/8 {
			n = int(groups) * 8
		}
		// Some writers leave out the padding of the last run.
		if need := (n*width + 7) / 8; len(src) < need {
			return corrupt("packed values need %d bytes where %d are left", need, len(src))
		}
		unpack(dst[:n], src, width)
		dst = dst[n:]
		src = src[min(groups*uint64(width), uint64(len(src))):]
	}
	return nil
}

// unpack reads len(dst) values of width bits, least significant bit first.
func unpack[T uint8 | int32](dst []T, src []byte, width int) {
	mask := uint64(1)<<width - 1
	var acc uint64
	have, at := 0, 0
	for i := range dst {
		for have < width {
			acc |= uint64(src[at]) << have
			at++
			have += 8
		}
		dst[i] = T(acc & mask)
		acc >>= width
		have -= width
	}
}

// delta decodes DELTA_BINARY_PACKED: n values, and what follows them in src.
func delta(dst []int64, src []byte, n int) (values []int64, rest []byte, err error) {
	uvarint := func() uint64 {
		v, k := binary.Uvarint(src)
		if k <= 0 {
			err = corrupt("packed deltas are cut off")
			return 0
		}
		src = src[k:]
		return v
	}
	zigzag := func() int64 {
		v := uvarint()
		return int64(v>>1) ^ -int64(v&1)
	}
	block, minis, total, first := uvarint(), uvarint(), uvarint(), zigzag()
	switch {
	case err != nil:
		return nil, nil, err
	case total != uint64(n):
		return nil, nil, corrupt("%d packed deltas where %d are expected", total, n)
	case minis == 0 || block == 0 || block > 1<<16 || block%minis != 0 || block/minis%8 != 0:
		return nil, nil, corrupt("packed deltas in blocks of %d by %d", block, minis)
	}
	per := int(block / minis)
	dst = dst[:0]
	if n == 0 {
		return dst, src, nil
	}
	dst = append(dst, first)
	last := first
	for len(dst) < n {
		low := zigzag()
		if err != nil {
			return nil, nil, err
		}
		if uint64(len(src)) < minis {
			return nil, nil, corrupt("packed deltas are cut off")
		}
		widths := src[:minis]
		src = src[minis:]
		for _, w := range widths {
			if len(dst) == n {
				break
			}
			size := per * int(w) / 8
			if w > 64 || size > len(src) {
				return nil, nil, corrupt("packed deltas are cut off")
			}
			packed := src[:size]
			src = src[size:]
			for i := range min(per, n-len(dst)) {
				last += low + int64(bitsAt(packed, i*int(w), int(w)))
				dst = append(dst, last)
			}
		}
	}
	return dst, src, nil
}

// bitsAt reads width bits at bit position pos.
func bitsAt(b []byte, pos, width int) uint64 {
	var v uint64
	for got := 0; got < width; {
		at := (pos + got) >> 3
		shift := (pos + got) & 7
		take := min(8-shift, width-got)
		v |= uint64(b[at]>>shift&(1<<take-1)) << got
		got += take
	}
	return v
}

// texts of a page: values lie in data from start to end.
type pageTexts struct {
	data       []byte
	start, end []int32
}

func (t *pageTexts) at(i int) []byte { return t.data[t.start[i]:t.end[i]] }

func (t *pageTexts) reset(data []byte) { t.data, t.start, t.end = data, t.start[:0], t.end[:0] }

func (t *pageTexts) add(start, end int) {
	t.start, t.end = append(t.start, int32(start)), append(t.end, int32(end))
}

// decodeTexts decodes n BYTE_ARRAY values.
func (t *pageTexts) decode(enc format.Encoding, b []byte, n int, scratch *[]int64) error {
	t.reset(b)
	switch enc {
	case format.Plain:
		at := 0
		for i := range n {
			if len(b)-at < 4 {
				return corrupt("value %d is missing", i)
			}
			l := binary.LittleEndian.Uint32(b[at:])
			at += 4
			if uint64(l) > uint64(len(b)-at) {
				return corrupt("value %d has %d bytes where %d are left", i, l, len(b)-at)
			}
			t.add(at, at+int(l))
			at += int(l)
		}
		return nil
	case format.DeltaLengthByteArray:
		lengths, rest, err := delta(*scratch, b, n)
		if err != nil {
			return err
		}
		*scratch = lengths
		t.data = rest
		at := 0
		for i, l := range lengths {
			if l < 0 || l > int64(len(rest)-at) {
				return corrupt("value %d has %d bytes where %d are left", i, l, len(rest)-at)
			}
			t.add(at, at+int(l))
			at += int(l)
		}
		return nil
	case format.DeltaByteArray:
		return t.decodePrefixes(b, n)
	}
	return fmt.Errorf("encoding %s of bytes: %w", enc, pipeline.ErrUnsupported)
}

// decodePrefixes decodes DELTA_BYTE_ARRAY: each value shares a prefix with the
// one before it. What is written out is bounded.
func (t *pageTexts) decodePrefixes(b []byte, n int) error {
	prefixes, rest, err := delta(nil, b, n)
	if err != nil {
		return err
	}
	suffixes, rest, err := delta(nil, rest, n)
	if err != nil {
		return err
	}
	out := make([]byte, 0, min(len(rest)*2, maxPage))
	start, end := 0, 0
	for i := range n {
		p, s := prefixes[i], suffixes[i]
		if p < 0 || p > int64(end-start) || s < 0 || s > int64(len(rest)) {
			return corrupt("value %d takes %d bytes of the one before and %d more", i, p, s)
		}
		if int64(len(out))+p+s > maxPage {
			return fmt.Errorf("a page of more than %d bytes: %w", maxPage, pipeline.ErrLimit)
		}
		at := len(out)
		out = append(out, out[start:start+int(p)]...)
		out = append(out, rest[:s]...)
		rest = rest[s:]
		start, end = at, len(out)
		t.add(start, end)
	}
	t.data = out
	return nil
}

// decodeFixed returns n values of width bytes, as they would lie in PLAIN.
func decodeFixed(dst []byte, enc format.Encoding, b []byte, n, width int, scratch *[]int64) ([]byte, error) {
	size := n * width
	switch enc {
	case format.Plain:
		if len(b) < size {
			return nil, corrupt("%d values of %d bytes where %d bytes are left", n, width, len(b))
		}
		return append(dst[:0], b[:size]...), nil
	case format.ByteStreamSplit:
		if len(b) < size {
			return nil, corrupt("%d values of %d bytes where %d bytes are left", n, width, len(b))
		}
		dst = growTo(dst, size)
		for k := range width {
			for i, v := range b[k*n : (k+1)*n] {
				dst[i*width+k] = v
			}
		}
		return dst, nil
	case format.DeltaBinaryPacked:
		if width != 4 && width != 8 {
			break
		}
		values, _, err := delta(*scratch, b, n)
		if err != nil {
			return nil, err
		}
		*scratch = values
		dst = dst[:0]
		for _, v := range values {
			if width == 4 {
				dst = binary.LittleEndian.AppendUint32(dst, uint32(v))
			} else {
				dst = binary.LittleEndian.AppendUint64(dst, uint64(v))
			}
		}
		return dst, nil
	case format.DeltaByteArray:
		var t pageTexts
		if err := t.decodePrefixes(b, n); err != nil {
			return nil, err
		}
		for i := range n {
			if len(t.at(i)) != width {
				return nil, corrupt("value %d has %d bytes, not %d", i, len(t.at(i)), width)
			}
		}
		return t.data, nil
	}
	return nil, fmt.Errorf("encoding %s of values of %d bytes: %w", enc, width, pipeline.ErrUnsupported)
}

// decodeBools returns n booleans, one byte each.
func decodeBools(dst []byte, enc format.Encoding, b []byte, n int) ([]byte, error) {
	dst = growTo(dst, n)
	switch enc {
	case format.Plain:
		if len(b) < (n+7)/8 {
			return nil, corrupt("%d booleans in %d bytes", n, len(b))
		}
		unpack(dst, b, 1)
		return dst, nil
	case format.RLE:
		if len(b) < 4 {
			return nil, corrupt("booleans without their length")
		}
		return dst, hybrid(dst, b[4:], 1)
	}
	return nil, fmt.Errorf("encoding %s of booleans: %w", enc, pipeline.ErrUnsupported)
}

func growTo(b []byte, n int) []byte {
	if cap(b) < n {
		return make([]byte, n)
	}
	return b[:n]
}

// convert turns stored values, PLAIN of l.width bytes each, into the layout of
// batches.
func (l *readLeaf) convert(b []byte) ([]byte, error) {
	switch l.conv {
	case convNarrow8, convNarrow16:
		w := 1
		if l.conv == convNarrow16 {
			w = 2
		}
		// The value lies in the low bytes, little-endian.
		out := b[:0]
		for i := 0; i < len(b); i += 4 {
			out = append(out, b[i:i+w]...)
		}
		return out, nil
	case convScale:
		for i := 0; i < len(b); i += 8 {
			v := int64(binary.LittleEndian.Uint64(b[i:]))
			if v > math.MaxInt64/l.scale || v < math.MinInt64/l.scale {
				return nil, fmt.Errorf("time %d does not fit nanoseconds: %w", v, pipeline.ErrUnsupported)
			}
			binary.LittleEndian.PutUint64(b[i:], uint64(v*l.scale))
		}
		return b, nil
	case convScale32:
		out := make([]byte, 0, 2*len(b))
		for i := 0; i < len(b); i += 4 {
			v := int64(int32(binary.LittleEndian.Uint32(b[i:])))
			out = binary.LittleEndian.AppendUint64(out, uint64(v*l.scale))
		}
		return out, nil
	case convHalf:
		out := make([]byte, 0, 2*len(b))
		for i := 0; i < len(b); i += 2 {
			out = binary.LittleEndian.AppendUint32(out, halfToFloat(binary.LittleEndian.Uint16(b[i:])))
		}
		return out, nil
	case convDecimal:
		return l.convertDecimals(b)
	}
	return b, nil
}

func (l *readLeaf) convertDecimals(b []byte) ([]byte, error) {
	out := make([]byte, 0, len(b)/l.width*16)
	for i := 0; i < len(b); i += l.width {
		var v int64
		switch l.phys {
		case pq.Int32:
			v = int64(int32(binary.LittleEndian.Uint32(b[i:])))
		case pq.Int64:
			v = int64(binary.LittleEndian.Uint64(b[i:]))
		default:
			var err error
			if out, err = appendDecimal(out, b[i:i+l.width]); err != nil {
				return nil, err
			}
			continue
		}
		out = binary.LittleEndian.AppendUint64(out, uint64(v))
		out = binary.LittleEndian.AppendUint64(out, uint64(v>>63))
	}
	return out, nil
}

// appendDecimal appends a big-endian two's complement number as a decimal128.
func appendDecimal(out, b []byte) ([]byte, error) {
	var fill byte
	if len(b) > 0 {
		fill = byte(int8(b[0]) >> 7)
	}
	for len(b) > 16 {
		if b[0] != fill {
			return nil, fmt.Errorf("a decimal of %d bytes: %w", len(b), pipeline.ErrUnsupported)
		}
		b = b[1:]
	}
	if len(b) == 16 && byte(int8(b[0])>>7) != fill {
		return nil, fmt.Errorf("a decimal of more than 16 bytes: %w", pipeline.ErrUnsupported)
	}
	for i := len(b) - 1; i >= 0; i-- {
		out = append(out, b[i])
	}
	for i := len(b); i < 16; i++ {
		out = append(out, fill)
	}
	return out, nil
}

// halfToFloat widens a float16 to the bits of a float32.
func halfToFloat(h uint16) uint32 {
	sign := uint32(h>>15) << 31
	exp, frac := uint32(h>>10&31), uint32(h&1023)
	switch {
	case exp == 31:
		return sign | 0x7f800000 | frac<<13
	case exp == 0 && frac == 0:
		return sign
	case exp == 0:
		// Subnormal: shift the leading one into place.
		shift := uint32(bits.LeadingZeros32(frac) - 21)
		return sign | (113-shift)<<23 | frac<<(13+shift)&0x7fffff
	}
	return sign | (exp+112)<<23 | frac<<13
}
