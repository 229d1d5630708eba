package images

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/jpeg"
	"image/png"
	"math"

	"github.com/drivemill/drivemill/pipeline"
)

// raw is one sensor_msgs/Image.
type raw struct {
	width, height, step uint32
	encoding            string
	big                 bool
	data                []byte
}

// bytesPerPixel of the encodings that are known.
func bytesPerPixel(encoding string) uint64 {
	switch encoding {
	case "rgb8", "bgr8":
		return 3
	case "rgba8", "bgra8", "32FC1":
		return 4
	case "mono16", "16UC1":
		return 2
	}
	return 1
}

// check holds the lengths of an image against each other. After it, width
// times height is at most len(data).
func (r *raw) check() *reason {
	switch {
	case !known(r.encoding):
		return refuse("encoding", "image_encoding", pipeline.ErrUnsupported, "encoding %q is not written", r.encoding)
	case r.width == 0 || r.height == 0:
		return refuse("data", "image_empty", pipeline.ErrSchema, "image of %d by %d pixels", r.width, r.height)
	case uint64(r.step)*uint64(r.height) != uint64(len(r.data)):
		return refuse("data", "image_size", pipeline.ErrCorrupt, "step %d times height %d is not the %d bytes of data", r.step, r.height, len(r.data))
	case uint64(r.width)*bytesPerPixel(r.encoding) > uint64(r.step):
		return refuse("step", "image_size", pipeline.ErrCorrupt, "%d pixels of %s do not fit into a step of %d bytes", r.width, r.encoding, r.step)
	}
	return nil
}

// line returns the bytes of row y.
func (r *raw) line(y int) []byte {
	return r.data[y*int(r.step):][:int(r.width)*int(bytesPerPixel(r.encoding))]
}

// image converts the pixels.
func (c *Config) image(r *raw) (img image.Image, status string, why *reason) {
	if why := r.check(); why != nil {
		return nil, "", why
	}
	w, h := int(r.width), int(r.height)
	rect := image.Rect(0, 0, w, h)
	red, filtered := bayer[r.encoding]
	switch {
	case filtered && c.Bayer == "refuse":
		return nil, "", refuse("encoding", "bayer_undeclared", pipeline.ErrUnsupported, "%s: bayer of the output says what to do with it", r.encoding)
	case filtered && c.Bayer == "nearest":
		return debayer(r, red.x, red.y), "debayered", nil
	}
	switch r.encoding {
	case "rgb8", "bgr8":
		out := image.NewRGBA(rect)
		first, last := 0, 2
		if r.encoding == "bgr8" {
			first, last = 2, 0
		}
		for y := range h {
			src, dst := r.line(y), out.Pix[y*out.Stride:]
			for x := range w {
				s, d := src[3*x:3*x+3], dst[4*x:4*x+4]
				d[0], d[1], d[2], d[3] = s[first], s[1], s[last], 255
			}
		}
		return out, "encoded", nil
	case "rgba8", "bgra8":
		out := image.NewNRGBA(rect)
		for y := range h {
			src, dst := r.line(y), out.Pix[y*out.Stride:]
			copy(dst, src)
			if r.encoding == "bgra8" {
				for x := 0; x < len(src); x += 4 {
					dst[x], dst[x+2] = src[x+2], src[x]
				}
			}
		}
		return out, "encoded", nil
	case "mono16", "16UC1":
		out := image.NewGray16(rect) // big-endian
		for y := range h {
			src, dst := r.line(y), out.Pix[y*out.Stride:]
			copy(dst, src)
			if !r.big {
				for x := 0; x < len(src); x += 2 {
					dst[x], dst[x+1] = src[x+1], src[x]
				}
			}
		}
		return out, "encoded", nil
	case "32FC1":
		return c.depth(r, image.NewGray16(rect))
	}
	out := image.NewGray(rect)
	for y := range h {
		copy(out.Pix[y*out.Stride:], r.line(y))
	}
	return out, "encoded", nil
}

// depth scales floats to 16 bits, rounding to the nearest.
func (c *Config) depth(r *raw, out *image.Gray16) (image.Image, string, *reason) {
	if c.DepthScale == 0 {
		return nil, "", refuse("encoding", "depth_undeclared", pipeline.ErrUnsupported, "32FC1: depth_scale of the output says how it becomes 16 bits")
	}
	var order binary.ByteOrder = binary.LittleEndian
	if r.big {
		order = binary.BigEndian
	}
	for y := range int(r.height) {
		src, dst := r.line(y), out.Pix[y*out.Stride:]
		for x := range int(r.width) {
			v := float64(math.Float32frombits(order.Uint32(src[4*x:])))
			scaled := math.Round(v * c.DepthScale)
			switch {
			case math.IsNaN(v):
				scaled = 0
			case scaled < 0 || scaled > math.MaxUint16:
				return nil, "", refuse("data", "depth_range", pipeline.ErrSchema, "%v at %d, %d leaves 16 bits when it is scaled", v, x, y)
			}
			binary.BigEndian.PutUint16(dst[2*x:], uint16(scaled))
		}
	}
	return out, "encoded", nil
}

// debayer gives each pixel the nearest sample of each colour: those of the
// square of two by two that it lies in, cut at the right and lower edge.
func debayer(r *raw, redX, redY int) image.Image {
	w, h := int(r.width), int(r.height)
	out := image.NewRGBA(image.Rect(0, 0, w, h))
	at := func(x, y int) byte { return r.data[fit(y, h)*int(r.step)+fit(x, w)] }
	for y := range h {
		for x := range w {
			x0, y0 := x&^1, y&^1
			d := out.Pix[y*out.Stride+4*x:][:4]
			d[0], d[2], d[3] = at(x0+redX, y0+redY), at(x0+1-redX, y0+1-redY), 255
			// Green lies in both rows; that of the pixel's own row is the nearest.
			if y&1 == redY {
				d[1] = at(x0+1-redX, y)
			} else {
				d[1] = at(x0+redX, y)
			}
		}
	}
	return out
}

// fit moves a position beyond an odd edge by one square, to a sample of the
// same colour; a picture of one row or column has no other than its own.
func fit(v, n int) int {
	if v >= n {
		v -= 2
	}
	return max(v, 0)
}

// encode writes an image as the configuration says.
func (c *Config) encode(img image.Image) ([]byte, string, *reason) {
	var out bytes.Buffer
	if c.Format == "jpeg" {
		switch img.(type) {
		case *image.Gray16:
			return nil, "", refuse("encoding", "jpeg_depth", pipeline.ErrUnsupported, "JPEG has 8 bits; format: png keeps all 16")
		case *image.NRGBA:
			return nil, "", refuse("encoding", "jpeg_alpha", pipeline.ErrUnsupported, "JPEG has no transparency; format: png keeps it")
		}
		if err := jpeg.Encode(&out, img, &jpeg.Options{Quality: c.Quality}); err != nil {
			return nil, "", &reason{"data", "image_size", err}
		}
		return out.Bytes(), "jpg", nil
	}
	// The fastest level: frames do not get much smaller with more effort.
	enc := png.Encoder{CompressionLevel: png.BestSpeed}
	if err := enc.Encode(&out, img); err != nil {
		return nil, "", &reason{"data", "image_size", err}
	}
	return out.Bytes(), "png", nil
}
