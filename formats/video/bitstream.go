package video

import (
	"bytes"
	"errors"
	"slices"
	"strings"

	"github.com/drivemill/drivemill/pipeline"
)

// codec is a video codec.
type codec uint8

const (
	noCodec codec = iota
	h264
	h265
)

func (c codec) String() string { return [...]string{"", "h264", "h265"}[c] }

// codecOf reads the format of a message.
func codecOf(format string) codec {
	switch strings.ToLower(strings.TrimSpace(format)) {
	case "h264", "avc", "h.264":
		return h264
	case "h265", "hevc", "h.265":
		return h265
	}
	return noCodec
}

// use is what a NAL unit is good for.
type use uint8

const (
	dropped   use = iota // delimiters and padding, which MP4 has no need of
	other                // goes with the picture: supplemental information
	picture              // a slice
	keyframe             // a slice of a picture that decoding can begin with
	parameter            // VPS, SPS, PPS
)

// kind tells the type of a NAL unit: Rec. ITU-T H.264, table 7-1, and H.265,
// table 7-1.
func (c codec) kind(nal []byte) (typ byte, u use) {
	if c == h264 {
		switch typ = nal[0] & 31; typ {
		case 5:
			return typ, keyframe
		case 1, 2, 3, 4:
			return typ, picture
		case 7, 8:
			return typ, parameter
		case 9, 10, 11, 12:
			return typ, dropped
		}
		return typ, other
	}
	switch typ = nal[0] >> 1 & 63; {
	case typ >= 16 && typ <= 21:
		return typ, keyframe
	case typ < 32:
		return typ, picture
	case typ <= 34:
		return typ, parameter
	case typ <= 38:
		return typ, dropped
	}
	return typ, other
}

// packet is a message taken apart. Its slices lie in the message.
type packet struct {
	nals     [][]byte // of the picture, in order
	sets     [][]byte
	key      bool
	pictures int
}

var startCode = []byte{0, 0, 1}

// parse splits a byte stream at its start codes (Annex B of both standards).
// p is emptied and filled.
func (p *packet) parse(c codec, data []byte) *reason {
	p.nals, p.sets, p.key, p.pictures = p.nals[:0], p.sets[:0], false, 0
	at := bytes.Index(data, startCode)
	if at < 0 || len(bytes.Trim(data[:at], "\x00")) > 0 {
		return refuse("data", "video_bitstream", pipeline.ErrCorrupt, "the %d bytes do not begin with a start code", len(data))
	}
	data = data[at+3:]
	for len(data) > 0 {
		nal, rest := data, []byte(nil)
		if at := bytes.Index(data, startCode); at >= 0 {
			nal, rest = data[:at], data[at+3:]
		}
		data = rest
		// Zeros behind a NAL unit belong to the stream; none ends in one.
		if nal = bytes.TrimRight(nal, "\x00"); len(nal) == 0 {
			continue
		}
		if nal[0]&0x80 != 0 || c == h265 && len(nal) < 2 {
			return refuse("data", "video_bitstream", pipeline.ErrCorrupt, "a NAL unit of %d bytes has no right header", len(nal))
		}
		_, u := c.kind(nal)
		switch u {
		case parameter:
			p.sets = append(p.sets, nal)
			continue
		case dropped:
			continue
		case keyframe:
			p.key = true
			p.pictures++
		case picture:
			p.pictures++
		}
		p.nals = append(p.nals, nal)
	}
	return nil
}

// Limits of parameter sets: the configuration records count them in few bits.
const (
	maxSetBytes = 1<<16 - 1
	maxSets     = 16
)

// sets are the parameter sets in force, by type and id, in the order in which
// they came.
type sets []set

type set struct {
	typ byte
	id  uint32
	nal []byte
}

var errSet = errors.New("parameter set cannot be read")

// with returns s with further sets, each in place of the one of its type and
// id. s is not changed; the bytes are copied.
func (s sets) with(c codec, nals [][]byte) (sets, *reason) {
	if len(nals) == 0 {
		return s, nil
	}
	out := slices.Clone(s)
	for _, nal := range nals {
		typ, _ := c.kind(nal)
		id, ok := setID(c, typ, nal)
		if !ok || len(nal) > maxSetBytes {
			return s, refuse("data", "parameter_sets", pipeline.ErrCorrupt, "%v: type %d of %d bytes", errSet, typ, len(nal))
		}
		at := slices.IndexFunc(out, func(o set) bool { return o.typ == typ && o.id == id })
		switch {
		case at >= 0 && bytes.Equal(out[at].nal, nal):
		case at >= 0:
			out[at].nal = bytes.Clone(nal)
		case len(out) == maxSets:
			return s, refuse("data", "parameter_sets", pipeline.ErrLimit, "more than %d parameter sets", maxSets)
		default:
			out = append(out, set{typ, id, bytes.Clone(nal)})
		}
	}
	return out, nil
}

func (s sets) equal(o sets) bool {
	return slices.EqualFunc(s, o, func(a, b set) bool { return a.typ == b.typ && bytes.Equal(a.nal, b.nal) })
}

// of lists the sets of a type.
func (s sets) of(typ byte) [][]byte {
	var out [][]byte
	for _, x := range s {
		if x.typ == typ {
			out = append(out, x.nal)
		}
	}
	return out
}

// bitReader reads the payload of a NAL unit without its emulation prevention.
type bitReader struct {
	b   []byte
	at  int // bit
	bad bool
}

// payload drops the header of a NAL unit and the bytes that keep start codes
// out of it.
func payload(nal []byte, header int) *bitReader {
	var out []byte
	zeros := 0
	for _, c := range nal[min(header, len(nal)):] {
		if zeros >= 2 && c == 3 {
			zeros = 0
			continue
		}
		if zeros++; c != 0 {
			zeros = 0
		}
		out = append(out, c)
	}
	return &bitReader{b: out}
}

func (r *bitReader) u(n int) uint32 {
	var v uint32
	for range n {
		if r.at >= 8*len(r.b) {
			r.bad = true
			return 0
		}
		v = v<<1 | uint32(r.b[r.at/8]>>(7-r.at%8)&1)
		r.at++
	}
	return v
}

func (r *bitReader) flag() bool { return r.u(1) == 1 }

// skip passes n bits.
func (r *bitReader) skip(n int) {
	r.at += n
	if r.at > 8*len(r.b) {
		r.bad = true
	}
}

// ue reads an unsigned Exp-Golomb code (section 9.1 of H.264, 9.2 of H.265).
func (r *bitReader) ue() uint32 {
	n := 0
	for !r.bad && r.u(1) == 0 {
		if n++; n > 31 {
			r.bad = true
		}
	}
	if r.bad {
		return 0
	}
	return 1<<n - 1 + r.u(n)
}

// se reads a signed one.
func (r *bitReader) se() int32 {
	v := r.ue()
	if v&1 == 1 {
		return int32(v/2) + 1
	}
	return -int32(v / 2)
}
