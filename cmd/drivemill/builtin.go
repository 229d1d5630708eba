package main

import (
	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/formats/message/cdr"
	"github.com/drivemill/drivemill/formats/message/ros1"
	"github.com/drivemill/drivemill/formats/parquet"
	"github.com/drivemill/drivemill/formats/rosbag"
	"github.com/drivemill/drivemill/pipeline"
)

// builtin lists what this binary can do. A new format or stage is one line.
func builtin() *pipeline.Registry {
	encodings := []message.Encoding{ros1.Encoding{}, cdr.Encoding{}}
	reg := &pipeline.Registry{}
	reg.AddFormat(pipeline.FormatSpec{Format: rosbag.New(encodings...), Extensions: []string{"bag"}, Behaviour: 1})
	reg.AddSink(parquet.Spec())
	return reg
}
