package video

// params are what a file has to say of its pictures, found in a sequence
// parameter set.
type params struct {
	width, height          uint32
	chroma                 uint32
	depthLuma, depthChroma uint32
	layers                 uint32 // temporal, H.265
	nested                 bool
	profile                [12]byte // general_profile_space to general_level_idc, H.265
}

// maxSide bounds what a parameter set may claim: 16 bits describe a picture.
const maxSide = 1<<16 - 1

// setID reads the number of a parameter set.
func setID(c codec, typ byte, nal []byte) (uint32, bool) {
	if c == h264 {
		r := payload(nal, 1)
		if typ == 7 {
			r.skip(24)
		}
		id := r.ue()
		return id, !r.bad
	}
	r := payload(nal, 2)
	var id uint32
	switch typ {
	case 32:
		id = r.u(4)
	case 33:
		r.skip(4)
		layers := r.u(3)
		r.skip(1)
		profileTierLevel(r, layers)
		id = r.ue()
	default:
		id = r.ue()
	}
	return id, !r.bad
}

// parameters reads a sequence parameter set.
func parameters(c codec, nal []byte) (params, bool) {
	var p params
	var ok bool
	if c == h264 {
		p, ok = sps264(payload(nal, 1))
	} else {
		p, ok = sps265(payload(nal, 2))
	}
	return p, ok && p.width > 0 && p.height > 0 && p.width <= maxSide && p.height <= maxSide
}

// sps264 reads Rec. ITU-T H.264, section 7.3.2.1.1, as far as the size.
func sps264(r *bitReader) (params, bool) {
	p := params{chroma: 1, depthLuma: 8, depthChroma: 8}
	profile := r.u(8)
	r.skip(16)
	r.ue()
	planes := false
	switch profile {
	case 100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135:
		if p.chroma = r.ue(); p.chroma == 3 {
			planes = r.flag()
		}
		p.depthLuma, p.depthChroma = 8+r.ue(), 8+r.ue()
		r.skip(1)
		if r.flag() {
			lists := 8
			if p.chroma == 3 {
				lists = 12
			}
			for i := range lists {
				if r.flag() {
					scalingList(r, i)
				}
			}
		}
	}
	r.ue() // log2_max_frame_num_minus4
	switch r.ue() {
	case 0:
		r.ue()
	case 1:
		r.skip(1)
		r.se()
		r.se()
		n := r.ue()
		for i := uint32(0); i < n && !r.bad; i++ {
			r.se()
		}
	}
	r.ue()
	r.skip(1)
	w, h := uint64(r.ue())+1, uint64(r.ue())+1
	fields := uint64(2) // lines of macroblocks in a frame for each of the map
	if r.flag() {
		fields = 1
	} else {
		r.skip(1)
	}
	r.skip(1)
	w, h = 16*w, 16*h*fields
	if r.flag() {
		// Table 6-1: the units of cropping.
		ux, uy := uint64(1), fields
		if !planes && (p.chroma == 1 || p.chroma == 2) {
			ux = 2
		}
		if !planes && p.chroma == 1 {
			uy *= 2
		}
		return p.cropped(r, w, h, ux, uy)
	}
	p.width, p.height = uint32(min(w, maxSide+1)), uint32(min(h, maxSide+1))
	return p, !r.bad && p.chroma <= 3
}

// cropped takes the borders off.
func (p params) cropped(r *bitReader, w, h, ux, uy uint64) (params, bool) {
	left, right := uint64(r.ue()), uint64(r.ue())
	top, bottom := uint64(r.ue()), uint64(r.ue())
	x, y := ux*(left+right), uy*(top+bottom)
	if r.bad || x >= w || y >= h || p.chroma > 3 {
		return p, false
	}
	p.width, p.height = uint32(min(w-x, maxSide+1)), uint32(min(h-y, maxSide+1))
	return p, true
}

// scalingList passes over a list (section 7.3.2.1.1.1).
func scalingList(r *bitReader, i int) {
	size := 16
	if i >= 6 {
		size = 64
	}
	last, next := int32(8), int32(8)
	for range size {
		if next != 0 {
			next = (last + r.se() + 256) % 256
		}
		if next != 0 {
			last = next
		}
		if r.bad {
			return
		}
	}
}

// profileTierLevel reads Rec. ITU-T H.265, section 7.3.3, for a number of
// sub-layers less one, and returns the general part.
func profileTierLevel(r *bitReader, layers uint32) (general [12]byte) {
	for i := range general {
		general[i] = byte(r.u(8))
	}
	var profile, level [8]bool
	for i := range layers {
		profile[i&7], level[i&7] = r.flag(), r.flag()
	}
	if layers > 0 {
		r.skip(2 * int(8-layers))
	}
	for i := range layers {
		if profile[i&7] {
			r.skip(88)
		}
		if level[i&7] {
			r.skip(8)
		}
	}
	return general
}

// sps265 reads Rec. ITU-T H.265, section 7.3.2.2.1, as far as the bit depth.
func sps265(r *bitReader) (params, bool) {
	var p params
	r.skip(4)
	layers := r.u(3)
	p.layers, p.nested = layers+1, r.flag()
	p.profile = profileTierLevel(r, layers)
	r.ue()
	planes := false
	if p.chroma = r.ue(); p.chroma == 3 {
		planes = r.flag()
	}
	w, h := uint64(r.ue()), uint64(r.ue())
	ok := true
	if r.flag() {
		ux, uy := uint64(1), uint64(1)
		if !planes && (p.chroma == 1 || p.chroma == 2) {
			ux = 2
		}
		if !planes && p.chroma == 1 {
			uy = 2
		}
		p, ok = p.cropped(r, w, h, ux, uy)
	} else {
		p.width, p.height = uint32(min(w, maxSide+1)), uint32(min(h, maxSide+1))
	}
	p.depthLuma, p.depthChroma = 8+r.ue(), 8+r.ue()
	return p, ok && !r.bad && p.chroma <= 3 && p.depthLuma <= 16 && p.depthChroma <= 16
}
