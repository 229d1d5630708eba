// Package images is the output that writes each frame of a camera as an object.
//
//	outputs:
//	  frames:
//	    use: images
//	    from: drives.camera_front
//	    uri: s3://fleet-lake/frames
//	    format: png
//
// It takes tables of sensor_msgs/Image and sensor_msgs/CompressedImage, of ROS 1
// and ROS 2, which it knows by their columns. A frame becomes
//
//	<table>_objects/drive_date=YYYY-MM-DD/<slot>-<revision>/<frame>.png
//
// where frame counts the rows of the table in the unit, from 0, refused ones
// included, in twelve digits. The table itself is an index in Parquet, a row
// for each frame that was written: attributes and clocks, frame_id, frame,
// width, height, encoding (as in the message), size, object (the key in the
// lake), sha256, and status: copied (compressed as it came), encoded, or
// debayered.
//
// Raw images in mono8, mono16, rgb8, bgr8, rgba8, bgra8, 8UC1 and 16UC1 are
// written as PNG without loss, or as JPEG where format says so and 8 bits
// without transparency suffice. Declared choices, without which such frames are
// refused: bayer (8 bits) as it lies or interpolated from nearest neighbours,
// 32FC1 as 16-bit PNG with a scale. Compressed images are copied, whatever
// format says, after a look at signature and header: JPEG, PNG, and the PNG
// inside of compressedDepth where the depth is 16UC1.
//
// A frame that cannot be written is refused with a reason, and counted:
// image_size, image_encoding, image_empty, bayer_undeclared, depth_undeclared,
// depth_range, jpeg_depth, jpeg_alpha, compressed_format, compressed_signature,
// compressed_header, null_cell.
//
// Frames are kept in a file without a name in the system's temporary directory
// until the unit is committed, and written then: before that, nothing is to be
// seen. What a unit writes beside its index is one directory of its own, which
// the commit record and the claim before it name as such: a drive has a hundred
// thousand frames, and a record that listed each would be larger than the index.
//
// # Limits
//
// The sizes that an image claims are held against the bytes of its message before
// anything is made of them. Objects have names made of times and numbers, never of
// what a recording says.
package images

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/drivemill/drivemill/formats/parquet"
	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// Config is the configuration of an images output.
type Config struct {
	Pos        pipeline.Pos
	URI        pipeline.Text `yaml:"uri" required:"true" fingerprint:"-" doc:"Where the lake is: a directory or a prefix in an object store." example:"s3://fleet-lake/frames"`
	Format     string        `yaml:"format" enum:"png,jpeg" default:"png" doc:"What raw images become: png without loss, or jpeg."`
	Quality    int           `yaml:"quality" default:"90" doc:"Quality of JPEG, 1 to 100."`
	Bayer      string        `yaml:"bayer" enum:"refuse,gray,nearest" default:"refuse" doc:"Images with a colour filter: refuse them, write the samples as gray, or interpolate colours from the nearest samples."`
	DepthScale float64       `yaml:"depth_scale" doc:"What 32FC1 is multiplied by to become 16 bits: 1000 for metres to millimetres. NaN becomes 0. Such images are refused when it is left out."`
}

// Validate checks what the tags cannot say.
func (c *Config) Validate(issues *pipeline.Issues) {
	if c.Quality < 1 || c.Quality > 100 {
		issues.Addf(c.Pos, strings.TrimSuffix(c.URI.Path, "uri")+"quality", "quality %d: want 1 to 100", c.Quality)
	}
	if !(c.DepthScale >= 0 && c.DepthScale <= 1e9) {
		issues.Addf(c.Pos, strings.TrimSuffix(c.URI.Path, "uri")+"depth_scale", "depth_scale %v: want more than 0, at most 1e9", c.DepthScale)
	}
}

// Spec announces the output.
func Spec() pipeline.SinkSpec {
	return pipeline.SinkSpec{
		Name:    "images",
		Summary: "each frame of a camera as a PNG or JPEG object, with an index in Parquet",
		Doc: "Objects are <table>_objects/drive_date=.../<slot>-<revision>/<frame>.png, and the table of Parquet files tells for each frame time, size, encoding, object and SHA-256. " +
			"Raw images become PNG without loss, or JPEG; compressed ones are copied after their headers were checked. Frames that cannot be written are rejected with a reason.",
		Example: `pipeline: frames
inputs:
  sensors:
    uri: testdata/sensors/{vehicle_id}/{drive_id}/*.mcap
    tables:
      raw: {match: /camera/image, type: sensor_msgs/Image}
      jpeg: {match: /camera/jpeg, type: sensor_msgs/CompressedImage}
outputs:
  frames:
    use: images
    from: [sensors.raw, sensors.jpeg]
    uri: frames
`,
		Behaviour: 1,
		Config:    func() any { return new(Config) },
		New: func(ctx context.Context, config any, env pipeline.Env) (pipeline.Sink, error) {
			c := config.(*Config)
			index, err := parquet.NewIndex(ctx, c.Pos, c.URI, env)
			if err != nil {
				return nil, err
			}
			return &sink{cfg: c, index: index}, nil
		},
	}
}

type sink struct {
	cfg   *Config
	index *parquet.Index
}

func (s *sink) Store() pipeline.Store { return s.index.Store() }

// made are the columns of the index that tell of the object.
func made() []arrow.Field {
	field := func(name string, t arrow.DataType, kv ...string) arrow.Field {
		return arrow.Field{Name: name, Type: t, Nullable: true, Metadata: pipeline.FieldMeta(kv...)}
	}
	return []arrow.Field{
		field("frame", arrow.Int64Type, pipeline.MetaDescription, "number of the row in its unit"),
		field("width", arrow.Int32Type, pipeline.MetaUnit, "px"), field("height", arrow.Int32Type, pipeline.MetaUnit, "px"),
		field("encoding", arrow.StringType, pipeline.MetaDescription, "as in the message"),
		field("size", arrow.Int64Type, pipeline.MetaUnit, "B"),
		field("object", arrow.StringType, pipeline.MetaDescription, "key in the lake"),
		field("sha256", arrow.StringType), field("status", arrow.StringType, pipeline.MetaDescription, "copied, encoded or debayered"),
	}
}

// Columns by which a table is known.
var (
	rawColumns        = map[string]arrow.TypeID{"height": arrow.UINT32, "width": arrow.UINT32, "encoding": arrow.STRING, "is_bigendian": arrow.UINT8, "step": arrow.UINT32, "data": arrow.BINARY}
	compressedColumns = map[string]arrow.TypeID{"format": arrow.STRING, "data": arrow.BINARY}
)

func has(t *pipeline.Table, columns map[string]arrow.TypeID) bool {
	for name, id := range columns {
		if i := t.Column(name); i < 0 || t.Schema.Field(i).Type.ID() != id {
			return false
		}
	}
	return true
}

// table is a table bound to the output.
type table struct {
	*parquet.IndexTable
	raw bool
}

// Bind finds out what each table is.
func (s *sink) Bind(in []*pipeline.Table) (*pipeline.SinkBinding, error) {
	var issues pipeline.Issues
	tables := make(map[*pipeline.Table]*table, len(in))
	var list []*parquet.IndexTable
	for _, t := range in {
		x := &table{raw: has(t, rawColumns)}
		switch {
		case x.raw:
			x.IndexTable = parquet.NewIndexTable(t, "data", []string{"height", "width", "encoding", "is_bigendian", "step"}, made())
		case has(t, compressedColumns):
			x.IndexTable = parquet.NewIndexTable(t, "data", []string{"format"}, made())
		default:
			issues.Addf(s.cfg.URI.Pos, s.cfg.URI.Path, "table %s is neither an Image nor a CompressedImage: it has not all columns of one of them", t.Name)
			continue
		}
		tables[t] = x
		list = append(list, x.IndexTable)
	}
	if err := issues.Err(); err != nil {
		return nil, err
	}
	return s.index.Bind(list, func(index pipeline.SinkWriter, opt pipeline.SinkOptions) pipeline.SinkWriter {
		return &writer{sink: s, tables: tables, opt: opt, index: index, dirs: make(map[string]*directory)}
	})
}

// reason is why a frame is refused.
type reason struct {
	column, name string
	err          error
}

func refuse(column, name string, kind error, format string, args ...any) *reason {
	return &reason{column, name, fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), kind)}
}

// bayer tells where in each square of two by two samples the red one is.
var bayer = map[string]struct{ x, y int }{"bayer_rggb8": {0, 0}, "bayer_grbg8": {1, 0}, "bayer_gbrg8": {0, 1}, "bayer_bggr8": {1, 1}}

// plain lists encodings that need no declaration.
var plain = []string{"mono8", "mono16", "rgb8", "bgr8", "rgba8", "bgra8", "8UC1", "16UC1"}

func known(encoding string) bool {
	_, filtered := bayer[encoding]
	return filtered || encoding == "32FC1" || slices.Contains(plain, encoding)
}
