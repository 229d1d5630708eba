package main

// bitWriter writes the syntax elements of H.264 (Rec. ITU-T H.264, section 7.2).
type bitWriter struct {
	b    []byte
	free int // bits left in the last byte
}

// u writes the n low bits of v.
func (w *bitWriter) u(n int, v uint64) {
	for n--; n >= 0; n-- {
		if w.free == 0 {
			w.b, w.free = append(w.b, 0), 8
		}
		w.free--
		w.b[len(w.b)-1] |= byte(v>>n&1) << w.free
	}
}

// ue writes an unsigned Exp-Golomb code (section 9.1).
func (w *bitWriter) ue(v uint64) {
	n := 0
	for (v+1)>>n > 1 {
		n++
	}
	w.u(n, 0)
	w.u(n+1, v+1)
}

// nal closes a NAL unit: stop bit, emulation prevention (section 7.4.1), start code.
func (w *bitWriter) nal(out []byte, header byte) []byte {
	w.u(1, 1)
	out = append(out, 0, 0, 0, 1, header)
	zeros := 0
	for _, c := range w.b {
		if zeros >= 2 && c <= 3 {
			out, zeros = append(out, 3), 0
		}
		out = append(out, c)
		if zeros++; c != 0 {
			zeros = 0
		}
	}
	return out
}

// h264Frame returns frame k of a video of w x h macroblocks in which every
// frame with a number divisible by period is a keyframe: parameter sets and
// samples that are not compressed (I_PCM, section 7.3.5). The frames between
// repeat the one before.
func h264Frame(k, period, w, h int) []byte {
	var out []byte
	n := k % period
	if n > 0 {
		var s bitWriter // slice of P type, all macroblocks skipped
		s.ue(0)
		s.ue(5)
		s.ue(0)
		s.u(4, uint64(n))
		s.u(3, 0) // no override, no reordering, no marking
		s.ue(0)
		s.ue(uint64(w * h))
		return s.nal(out, 0x41)
	}
	var sps bitWriter
	sps.u(24, 0x42c00a) // constrained baseline, level 1
	for _, v := range []uint64{0, 0, 2, 1} {
		sps.ue(v)
	}
	sps.u(1, 0)
	sps.ue(uint64(w - 1))
	sps.ue(uint64(h - 1))
	sps.u(4, 0b1100) // frames only, direct 8 x 8, no cropping, no VUI
	out = sps.nal(out, 0x67)
	var pps bitWriter
	pps.ue(0)
	pps.ue(0)
	pps.u(2, 0)
	for range 3 {
		pps.ue(0)
	}
	pps.u(3, 0)
	for range 3 {
		pps.ue(0)
	}
	pps.u(3, 0)
	out = pps.nal(out, 0x68)
	var s bitWriter
	s.ue(0)
	s.ue(7)
	s.ue(0)
	s.u(4, 0)
	s.ue(uint64(k / period % 2))
	s.u(2, 0)
	s.ue(0)
	for m := range w * h {
		s.ue(25) // I_PCM
		s.u(s.free, 0)
		for i := range 384 {
			v := uint64(128)
			if i < 256 {
				v = uint64((i%16*8 + m*40 + k*16) % 256)
			}
			s.u(8, v)
		}
	}
	return s.nal(out, 0x65)
}
