package rosbag

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/pipeline"
)

// Name is the name of the format in pipelines and messages.
const Name = "rosbag"

// magic is the version line, without its line feed, of the bags that are read.
const magic = "#ROSBAG V2.0"

// magicNames begin the version lines of bags of all ages.
var magicNames = []string{"#ROSBAG", "#ROSRECORD", "#ROSLOG"}

// envelope is what a bag knows of a message besides its bytes: when it was
// received.
var envelope = []message.Envelope{message.LogTime}

// FormatSpec announces the format, with the message encodings it may use.
func FormatSpec(encodings ...message.Encoding) pipeline.FormatSpec {
	return pipeline.FormatSpec{
		Format:  New(encodings...),
		Summary: "ROS 1 bags",
		Doc: "Bags of version 2.0 with chunks stored plain or compressed with lz4 or bz2 are read by their index or by scanning, also when truncated or not closed. " +
			"Encrypted bags and older versions are refused by name.",
		Extensions: []string{"bag", "active"},
		Behaviour:  1,
	}
}

// Format reads ROS 1 bags.
type Format struct {
	encodings []message.Encoding
}

var _ pipeline.Format = Format{}

// New returns the format. Messages are decoded by the encoding named ros1
// among those given, and without one kept as bytes.
func New(encodings ...message.Encoding) pipeline.Format {
	return Format{encodings: encodings}
}

// Cut implements pipeline.Cutter, by the index of chunks.
func (Format) Cut(d *pipeline.Description, size int64) ([]int64, string) {
	rec, ok := d.Index.(*recording)
	if !ok || !rec.indexed {
		return nil, "it has no index"
	}
	var blocks []message.Extent
	for _, c := range rec.chunks {
		if !c.counted {
			return nil, "its index does not tell the times of all chunks"
		}
		if c.messages > 0 {
			blocks = append(blocks, message.Extent{From: c.start, To: c.end, Bytes: max(c.dataLen, c.next-c.off, 0)})
		}
	}
	return message.Cut(blocks, size), ""
}

// Name implements pipeline.Format.
func (Format) Name() string { return Name }

// Sniff implements pipeline.Format. Bags are told by their version line; files
// called .bag or .bag.active that have none are claimed too, so that empty and
// damaged ones are refused with a reason.
func (Format) Sniff(name string, head []byte) bool {
	for _, m := range magicNames {
		if bytes.HasPrefix(head, []byte(m+" V")) {
			return true
		}
	}
	return strings.HasSuffix(name, ".bag") || strings.HasSuffix(name, ".bag.active")
}

// encoding returns the encoding of ROS 1 messages, nil where there is none.
func (f Format) encoding() message.Encoding {
	for _, e := range f.encodings {
		if e.Name() == "ros1" {
			return e
		}
	}
	return nil
}

// KnownTable implements pipeline.Typed for the message types built into the
// encoding.
func (f Format) KnownTable(typeName string) (*pipeline.Table, error) {
	e := f.encoding()
	if e == nil {
		return nil, fmt.Errorf("message type %q: no encoding decodes bags: %w", typeName, pipeline.ErrNotFound)
	}
	return message.KnownTable([]message.Encoding{e}, envelope, typeName)
}
