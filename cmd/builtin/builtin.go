// Package builtin lists the formats, stages and outputs of the binary.
package builtin

import (
	"github.com/drivemill/drivemill/formats/csv"
	"github.com/drivemill/drivemill/formats/drivestats"
	"github.com/drivemill/drivemill/formats/mcap"
	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/formats/message/cdr"
	"github.com/drivemill/drivemill/formats/message/ros1"
	"github.com/drivemill/drivemill/formats/parquet"
	"github.com/drivemill/drivemill/formats/rosbag"
	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/stages/derive"
	"github.com/drivemill/drivemill/stages/filter"
	"github.com/drivemill/drivemill/stages/lookup"
	selectcols "github.com/drivemill/drivemill/stages/select"
)

// Registry returns what is built in. A new format or stage is one line.
func Registry() *pipeline.Registry {
	encodings := []message.Encoding{ros1.Encoding{}, cdr.Encoding{}}
	reg := &pipeline.Registry{}
	// Formats are tried in this order: those that a file's first bytes prove
	// before those that go by its name.
	reg.AddFormat(pipeline.FormatSpec{Format: mcap.New(encodings...), Extensions: []string{"mcap"}, Behaviour: 1,
		Summary: "MCAP recordings",
		Doc: "Reads MCAP with chunks stored plain or compressed with lz4 or zstd, by its index or by scanning, also when damaged. Messages in ros1 (ros1msg) and " +
			"cdr (ros2msg) become columns; those of other encodings, and those whose schema does not parse, are kept as bytes in the column data."})
	reg.AddFormat(parquet.FormatSpec())
	reg.AddFormat(pipeline.FormatSpec{Format: rosbag.New(encodings...), Extensions: []string{"bag", "active"}, Behaviour: 1,
		Summary: "ROS 1 bags",
		Doc: "Reads ROS 1 bags of version 2.0 with chunks stored plain or compressed with lz4 or bz2, by their index or by scanning, also when truncated or not closed. " +
			"Encrypted bags and older versions are refused by name."})
	reg.AddFormat(drivestats.FormatSpec())
	reg.AddFormat(csv.FormatSpec())
	reg.AddStage(filter.Spec())
	reg.AddStage(derive.Spec())
	reg.AddStage(lookup.Spec())
	reg.AddStage(selectcols.Spec())
	reg.AddSink(parquet.Spec())
	return reg
}
