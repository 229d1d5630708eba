package video

import "encoding/binary"

// timescale is the units of time in a second.
const timescale = 1_000_000

// boxes appends boxes of the ISO base media file format (ISO/IEC 14496-12).
type boxes struct{ b []byte }

// box appends a box (section 4.2) whose content is written by fill.
func (w *boxes) box(name string, fill func()) {
	at := len(w.b)
	w.b = append(append(w.b, 0, 0, 0, 0), name...)
	if fill != nil {
		fill()
	}
	binary.BigEndian.PutUint32(w.b[at:], uint32(len(w.b)-at))
}

// full appends a box with version and flags.
func (w *boxes) full(name string, version byte, flags uint32, fill func()) {
	w.box(name, func() {
		w.u32(uint32(version)<<24 | flags)
		if fill != nil {
			fill()
		}
	})
}

func (w *boxes) u8(v ...byte)   { w.b = append(w.b, v...) }
func (w *boxes) u16(v uint16)   { w.b = binary.BigEndian.AppendUint16(w.b, v) }
func (w *boxes) u32(v uint32)   { w.b = binary.BigEndian.AppendUint32(w.b, v) }
func (w *boxes) u64(v uint64)   { w.b = binary.BigEndian.AppendUint64(w.b, v) }
func (w *boxes) zeros(n int)    { w.b = append(w.b, make([]byte, n)...) }
func (w *boxes) text(s string)  { w.b = append(w.b, s...) }
func (w *boxes) bytes(b []byte) { w.b = append(w.b, b...) }

// matrix is the unit matrix of tkhd and mvhd.
func (w *boxes) matrix() {
	for _, v := range [9]uint32{1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30} {
		w.u32(v)
	}
}

const trackID = 1

// head is what a file begins with: its type, and one track without samples,
// which come in fragments.
func head(c codec, s sets, p params) []byte {
	w := &boxes{}
	w.box("ftyp", func() {
		w.text("iso6")
		w.u32(0)
		w.text("iso6mp41")
	})
	w.box("moov", func() {
		w.full("mvhd", 0, 0, func() {
			w.zeros(8)
			w.u32(timescale)
			w.u32(0)
			w.u32(1 << 16)
			w.u16(1 << 8)
			w.zeros(10)
			w.matrix()
			w.zeros(24)
			w.u32(trackID + 1)
		})
		w.box("trak", func() {
			w.full("tkhd", 0, 3, func() { // enabled, in the presentation
				w.zeros(8)
				w.u32(trackID)
				w.zeros(8 + 8 + 2 + 2 + 2 + 2)
				w.matrix()
				w.u32(p.width << 16)
				w.u32(p.height << 16)
			})
			w.box("mdia", func() { w.media(c, s, p) })
		})
		w.box("mvex", func() {
			w.full("trex", 0, 0, func() {
				w.u32(trackID)
				w.u32(1)
				w.zeros(12)
			})
		})
	})
	return w.b
}

func (w *boxes) media(c codec, s sets, p params) {
	w.full("mdhd", 0, 0, func() {
		w.zeros(8)
		w.u32(timescale)
		w.u32(0)
		w.u16(0x55c4) // no language
		w.u16(0)
	})
	w.full("hdlr", 0, 0, func() {
		w.u32(0)
		w.text("vide")
		w.zeros(12)
		w.text("video\x00")
	})
	w.box("minf", func() {
		w.full("vmhd", 0, 1, func() { w.zeros(8) })
		w.box("dinf", func() {
			w.full("dref", 0, 0, func() {
				w.u32(1)
				w.full("url ", 0, 1, nil) // in this file
			})
		})
		w.box("stbl", func() {
			w.full("stsd", 0, 0, func() {
				w.u32(1)
				w.sampleEntry(c, s, p)
			})
			w.full("stts", 0, 0, func() { w.u32(0) })
			w.full("stsc", 0, 0, func() { w.u32(0) })
			w.full("stsz", 0, 0, func() { w.zeros(8) })
			w.full("stco", 0, 0, func() { w.u32(0) })
		})
	})
}

// sampleEntry is a VisualSampleEntry (section 12.1.3) with the configuration
// of the decoder (ISO/IEC 14496-15).
func (w *boxes) sampleEntry(c codec, s sets, p params) {
	name := map[codec]string{h264: "avc1", h265: "hvc1"}[c]
	w.box(name, func() {
		w.zeros(6)
		w.u16(1)
		w.zeros(16)
		w.u16(uint16(p.width))
		w.u16(uint16(p.height))
		w.u32(72 << 16)
		w.u32(72 << 16)
		w.u32(0)
		w.u16(1)
		w.zeros(32)
		w.u16(24)
		w.u16(0xffff)
		if c == h264 {
			w.box("avcC", func() { w.avcC(s, p) })
		} else {
			w.box("hvcC", func() { w.hvcC(s, p) })
		}
	})
}

// avcC is an AVCDecoderConfigurationRecord (ISO/IEC 14496-15, section 5.3.3.1).
func (w *boxes) avcC(s sets, p params) {
	sps, pps := s.of(7), s.of(8)
	w.u8(1)
	w.bytes(sps[0][1:4])
	w.u8(0xff, 0xe0|byte(len(sps))) // lengths of four bytes
	for _, nal := range sps {
		w.u16(uint16(len(nal)))
		w.bytes(nal)
	}
	w.u8(byte(len(pps)))
	for _, nal := range pps {
		w.u16(uint16(len(nal)))
		w.bytes(nal)
	}
	switch sps[0][1] {
	case 100, 110, 122, 144:
		w.u8(0xfc|byte(p.chroma), 0xf8|byte(p.depthLuma-8), 0xf8|byte(p.depthChroma-8), 0)
	}
}

// hvcC is an HEVCDecoderConfigurationRecord (ISO/IEC 14496-15, section 8.3.3.1).
func (w *boxes) hvcC(s sets, p params) {
	w.u8(1)
	w.bytes(p.profile[:])
	w.u16(0xf000)
	w.u8(0xfc, 0xfc|byte(p.chroma), 0xf8|byte(p.depthLuma-8), 0xf8|byte(p.depthChroma-8))
	w.u16(0)
	nested := byte(0)
	if p.nested {
		nested = 4
	}
	w.u8(byte(p.layers)<<3 | nested | 3)
	w.u8(3)
	for _, typ := range []byte{32, 33, 34} {
		nals := s.of(typ)
		w.u8(0x80 | typ) // all there are
		w.u16(uint16(len(nals)))
		for _, nal := range nals {
			w.u16(uint16(len(nal)))
			w.bytes(nal)
		}
	}
}

// sample is one frame of a fragment.
type sample struct {
	at       int64 // since the beginning of the file, in timescale
	duration uint32
	size     int
	key      bool
	frame    *frame
}

// Flags of samples (ISO/IEC 14496-12, section 8.8.3.1).
const (
	independent = 0x02000000 // depends on no other
	dependent   = 0x01010000 // depends on others, no place to start at
)

// fragment is a moof, and the head of the mdat that follows it.
func fragment(sequence uint32, samples []sample) []byte {
	w := &boxes{}
	size, offset := 8, 0
	w.box("moof", func() {
		w.full("mfhd", 0, 0, func() { w.u32(sequence) })
		w.box("traf", func() {
			w.full("tfhd", 0, 0x020000, func() { w.u32(trackID) }) // offsets count from the moof
			w.full("tfdt", 1, 0, func() { w.u64(uint64(samples[0].at)) })
			w.full("trun", 0, 0x000701, func() {
				w.u32(uint32(len(samples)))
				offset = len(w.b)
				w.u32(0)
				for _, s := range samples {
					w.u32(s.duration)
					w.u32(uint32(s.size))
					if s.key {
						w.u32(independent)
					} else {
						w.u32(dependent)
					}
					size += s.size
				}
			})
		})
	})
	binary.BigEndian.PutUint32(w.b[offset:], uint32(len(w.b)+8))
	w.u32(uint32(size))
	w.text("mdat")
	return w.b
}

// entry tells where a keyframe is.
type entry struct {
	at     int64
	offset int64 // of its moof
}

// tail is an mfra (ISO/IEC 14496-12, section 8.8.9).
func tail(entries []entry) []byte {
	w := &boxes{}
	w.box("mfra", func() {
		w.full("tfra", 1, 0, func() {
			w.u32(trackID)
			w.u32(0) // numbers of one byte
			w.u32(uint32(len(entries)))
			for _, e := range entries {
				w.u64(uint64(e.at))
				w.u64(uint64(e.offset))
				w.u8(1, 1, 1)
			}
		})
		w.full("mfro", 0, 0, func() { w.u32(0) })
	})
	binary.BigEndian.PutUint32(w.b[len(w.b)-4:], uint32(len(w.b)))
	return w.b
}
