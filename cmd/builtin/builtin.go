// Package builtin lists the formats, stages and outputs of the binary.
package builtin

import (
	"github.com/drivemill/drivemill/formats/csv"
	"github.com/drivemill/drivemill/formats/drivestats"
	"github.com/drivemill/drivemill/formats/images"
	"github.com/drivemill/drivemill/formats/mcap"
	"github.com/drivemill/drivemill/formats/mdf4"
	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/formats/message/cbor"
	"github.com/drivemill/drivemill/formats/message/cdr"
	"github.com/drivemill/drivemill/formats/message/flatbuffer"
	"github.com/drivemill/drivemill/formats/message/json"
	"github.com/drivemill/drivemill/formats/message/protobuf"
	"github.com/drivemill/drivemill/formats/message/ros1"
	"github.com/drivemill/drivemill/formats/parquet"
	"github.com/drivemill/drivemill/formats/rosbag"
	"github.com/drivemill/drivemill/formats/rosbag2"
	"github.com/drivemill/drivemill/formats/video"
	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/stages/afr"
	"github.com/drivemill/drivemill/stages/dbc"
	"github.com/drivemill/drivemill/stages/dedupe"
	"github.com/drivemill/drivemill/stages/derive"
	"github.com/drivemill/drivemill/stages/drivemodels"
	"github.com/drivemill/drivemill/stages/filter"
	"github.com/drivemill/drivemill/stages/integrity"
	"github.com/drivemill/drivemill/stages/lookup"
	"github.com/drivemill/drivemill/stages/points"
	selectcols "github.com/drivemill/drivemill/stages/select"
	"github.com/drivemill/drivemill/stages/sort"
	"github.com/drivemill/drivemill/stages/survival"
)

// Registry returns what is built in. A new format or stage is one line.
func Registry() *pipeline.Registry {
	encodings := []message.Encoding{
		ros1.Encoding{}, cdr.Encoding{}, protobuf.Encoding{}, json.Encoding{}, cbor.Encoding{}, flatbuffer.Encoding{},
	}
	reg := &pipeline.Registry{}
	// Formats are tried in this order: those that a file's first bytes prove
	// before those that go by its name.
	reg.AddFormat(mcap.FormatSpec(encodings...))
	reg.AddFormat(mdf4.FormatSpec())
	reg.AddFormat(parquet.FormatSpec())
	reg.AddFormat(rosbag.FormatSpec(encodings...))
	reg.AddFormat(rosbag2.FormatSpec(encodings...))
	reg.AddFormat(drivestats.FormatSpec())
	reg.AddFormat(csv.FormatSpec())
	reg.AddStage(filter.Spec())
	reg.AddStage(derive.Spec())
	reg.AddStage(lookup.Spec())
	reg.AddStage(dbc.Spec())
	reg.AddStage(selectcols.Spec())
	reg.AddStage(sort.Spec())
	reg.AddStage(dedupe.Spec())
	reg.AddStage(drivemodels.Spec())
	reg.AddStage(afr.CubeSpec())
	reg.AddStage(afr.Spec())
	reg.AddStage(survival.LivesSpec())
	reg.AddStage(survival.Spec())
	reg.AddStage(survival.FlowSpec())
	reg.AddStage(integrity.Spec())
	reg.AddStage(points.Spec())
	reg.AddSink(parquet.Spec())
	reg.AddSink(images.Spec())
	reg.AddSink(video.Spec())
	return reg
}
