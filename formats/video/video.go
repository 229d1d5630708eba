// Package video is the output that puts the packets of a camera into MP4 files
// without decoding them.
//
//	outputs:
//	  clips:
//	    use: video
//	    from: drives.camera_front
//	    uri: s3://fleet-lake/clips
//	    file_bytes: 1GiB
//
// It takes tables that have the columns format and data: foxglove's
// CompressedVideo, and sensor_msgs/CompressedImage with packets of H.264 (Rec.
// ITU-T H.264) or H.265 (Rec. ITU-T H.265) in the byte stream format of their
// Annex B, one picture in each message, in decoding order, which has to be the
// order of display: pictures that refer to later ones are not reordered.
//
// Files are
//
//	<table>_objects/drive_date=YYYY-MM-DD/<slot>-<revision>-<part>.mp4
//
// in the ISO base media file format (ISO/IEC 14496-12, with 14496-15 for what
// is inside): ftyp and moov, then a moof and an mdat for each group of pictures
// (a part of it, where it has more than 4 MiB), and an mfra that tells where
// keyframes are. They are written as they grow; what is held in memory is one
// such fragment. Parameter sets move from the packets to the head of the file.
// A frame lasts until the next one comes, in microseconds, and the last one of
// a file as long as the one before it; the exact times are in the index.
//
// A file begins at a keyframe. The next one begins, at a keyframe, when
// parameter sets or the codec change, when the clock steps back or by more than
// an hour, and when a file has file_bytes.
//
// The table itself is an index in Parquet, a row for each frame that was
// written: attributes and clocks, frame_id, frame (number of the row in the
// unit), keyframe, codec, size and offset (of the sample in the file), object
// (the key of the file in the lake).
//
// Frames that cannot be shown are refused, with a reason: before_keyframe (at
// the start, and behind another refused one), no_picture (parameter sets alone,
// which count for what follows), parameter_sets, parameter_change, time_order,
// time_gap, video_format, video_bitstream, null_cell.
//
// # Limits
//
// A picture has up to 65,535 rows and columns, a track 16 parameter sets of 65,535
// bytes each.
package video

import (
	"context"
	"fmt"
	"strings"

	"github.com/drivemill/drivemill/formats/parquet"
	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// Config is the configuration of a video output.
type Config struct {
	Pos       pipeline.Pos
	URI       pipeline.Text `yaml:"uri" required:"true" fingerprint:"-" doc:"Where the lake is: a directory or a prefix in an object store." example:"s3://fleet-lake/clips"`
	FileBytes pipeline.Size `yaml:"file_bytes" default:"1GiB" doc:"Bytes after which the next keyframe begins a new file."`
}

// Validate checks what the tags cannot say.
func (c *Config) Validate(issues *pipeline.Issues) {
	if c.FileBytes < 1 {
		issues.Addf(c.Pos, strings.TrimSuffix(c.URI.Path, "uri")+"file_bytes", "%d bytes: want 1 at the least", c.FileBytes)
	}
}

// Spec announces the output.
func Spec() pipeline.SinkSpec {
	return pipeline.SinkSpec{
		Name:    "video",
		Summary: "packets of H.264 and H.265 as MP4 files, not decoded, with an index in Parquet",
		Doc: "Files are <table>_objects/drive_date=.../<slot>-<revision>-<part>.mp4, fragmented MP4 with the frames' own times, and the table of Parquet files tells for each frame time, file, offset and size. " +
			"A file begins at a keyframe; frames before the first one, and others that cannot be shown, are rejected with a reason.",
		Example: `pipeline: clips
inputs:
  sensors:
    uri: testdata/sensors/{vehicle_id}/{drive_id}/*.mcap
    tables:
      front: {match: /camera/h264, type: sensor_msgs/CompressedImage}
outputs:
  clips:
    use: video
    from: sensors.front
    uri: clips
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

// made are the columns of the index that tell of the frame.
func made() []arrow.Field {
	field := func(name string, t arrow.DataType, kv ...string) arrow.Field {
		return arrow.Field{Name: name, Type: t, Nullable: true, Metadata: pipeline.FieldMeta(kv...)}
	}
	return []arrow.Field{
		field("frame", arrow.Int64Type, pipeline.MetaDescription, "number of the row in its unit"),
		field("keyframe", arrow.BoolType), field("codec", arrow.StringType),
		field("size", arrow.Int64Type, pipeline.MetaUnit, "B"),
		field("offset", arrow.Int64Type, pipeline.MetaDescription, "of the sample in the object"),
		field("object", arrow.StringType, pipeline.MetaDescription, "key in the lake"),
	}
}

// table is a table bound to the output.
type table struct {
	*parquet.IndexTable
}

// Bind checks that each table has packets and a clock.
func (s *sink) Bind(in []*pipeline.Table) (*pipeline.SinkBinding, error) {
	var issues pipeline.Issues
	tables := make(map[*pipeline.Table]*table, len(in))
	var list []*parquet.IndexTable
	for _, t := range in {
		is := func(name string, id arrow.TypeID) bool {
			i := t.Column(name)
			return i >= 0 && t.Schema.Field(i).Type.ID() == id
		}
		var why string
		switch {
		case !is("format", arrow.STRING) || !is("data", arrow.BINARY):
			why = "it has no columns format and data"
		case !is(pipeline.TimeColumn, arrow.TIMESTAMP):
			why = "it has no clock, and so no column " + pipeline.TimeColumn
		default:
			x := &table{IndexTable: parquet.NewIndexTable(t, "data", []string{"format"}, made())}
			tables[t] = x
			list = append(list, x.IndexTable)
			continue
		}
		issues.Addf(s.cfg.URI.Pos, s.cfg.URI.Path, "table %s is no video: %s", t.Name, why)
	}
	if err := issues.Err(); err != nil {
		return nil, err
	}
	return s.index.Bind(list, func(index pipeline.SinkWriter, opt pipeline.SinkOptions) pipeline.SinkWriter {
		return &writer{sink: s, tables: tables, opt: opt, index: index, tracks: make(map[string]*track)}
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
