// Package builtin lists the formats, stages and outputs of the binary.
package builtin

import (
	"github.com/drivemill/drivemill/formats/drivestats"
	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/formats/message/cdr"
	"github.com/drivemill/drivemill/formats/message/ros1"
	"github.com/drivemill/drivemill/formats/parquet"
	"github.com/drivemill/drivemill/formats/rosbag"
	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/stages/derive"
	"github.com/drivemill/drivemill/stages/filter"
)

// Registry returns what is built in. A new format or stage is one line.
func Registry() *pipeline.Registry {
	encodings := []message.Encoding{ros1.Encoding{}, cdr.Encoding{}}
	reg := &pipeline.Registry{}
	reg.AddFormat(pipeline.FormatSpec{Format: rosbag.New(encodings...), Extensions: []string{"bag"}, Behaviour: 1})
	reg.AddFormat(pipeline.FormatSpec{Format: drivestats.New(), Extensions: []string{"csv"}, Behaviour: 1})
	reg.AddStage(filter.Spec())
	reg.AddStage(derive.Spec())
	reg.AddSink(parquet.Spec())
	return reg
}
