package images

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"strings"

	"github.com/drivemill/drivemill/pipeline"
)

// Signatures of the formats that are copied: ISO/IEC 10918-1 (SOI and the
// next marker) and ISO/IEC 15948, section 5.2.
const (
	jpegSignature = "\xff\xd8\xff"
	pngSignature  = "\x89PNG\r\n\x1a\n"
)

// depthHeader is what compressed_depth_image_transport puts in front of the
// PNG: a format number and two parameters of 32 bits.
const depthHeader = 12

// compressed checks a sensor_msgs/CompressedImage and returns the bytes to
// write, the end of the name, and the size of the image.
func compressed(format string, data []byte) (body []byte, ext string, size image.Config, why *reason) {
	words := strings.ToLower(format)
	if strings.Contains(words, "compresseddepth") {
		pixel, _, _ := strings.Cut(words, ";")
		switch {
		case strings.Contains(words, "rvl"):
			return nil, "", size, refuse("format", "compressed_format", pipeline.ErrUnsupported, "%q: depth images in RVL are not read", format)
		case strings.TrimSpace(pixel) == "32fc1":
			return nil, "", size, refuse("format", "compressed_format", pipeline.ErrUnsupported, "%q: the PNG holds inverse depth, which only its parameters explain", format)
		case len(data) < depthHeader:
			return nil, "", size, refuse("data", "compressed_signature", pipeline.ErrTruncated, "%d bytes are no compressed depth image", len(data))
		}
		data = data[depthHeader:]
		if !strings.HasPrefix(string(data[:min(len(data), 8)]), pngSignature) {
			return nil, "", size, refuse("data", "compressed_signature", pipeline.ErrCorrupt, "no PNG follows the header of the compressed depth image")
		}
	}
	var err error
	switch head := string(data[:min(len(data), 8)]); {
	case len(data) == 0:
		return nil, "", size, refuse("data", "image_empty", pipeline.ErrSchema, "the frame has no bytes")
	case strings.HasPrefix(head, jpegSignature):
		ext = "jpg"
		size, err = jpeg.DecodeConfig(bytes.NewReader(data))
	case head == pngSignature:
		ext = "png"
		size, err = png.DecodeConfig(bytes.NewReader(data))
	default:
		return nil, "", size, refuse("data", "compressed_signature", pipeline.ErrUnsupported, "format %q: the first bytes, % x, are neither JPEG nor PNG", format, head)
	}
	if err != nil {
		return nil, "", size, &reason{"data", "compressed_header", fmt.Errorf("%w: %w", err, pipeline.ErrCorrupt)}
	}
	return data, ext, size, nil
}
