// Package config reads pipeline files: YAML in, a typed plan out, and every
// mistake at once with its place in the file.
//
//	pipeline: urban-drives
//	inputs:
//	  drives:
//	    uri: ${RAW:testdata/drive}/{vehicle_id}/{drive_id}/*.mcap
//	    group: {by: [vehicle_id, drive_id]}
//	    clock: [header, log]
//	    tables:
//	      odom: {match: /odom, columns: [pose.pose.position]}
//	      fix:  /gps/fix
//	stages:
//	  moving: {use: filter, from: drives.odom, where: "twist.twist.linear.x > 0.5"}
//	outputs:
//	  lake: {use: parquet, from: [moving, drives.fix], uri: ./lake}
//
// # Text
//
// A pipeline is one YAML document whose top is a mapping. Unknown keys, keys
// given twice, custom tags and more than one document are mistakes. Anchors,
// aliases and merge keys work within a bound on what they expand to; top-level
// keys that begin with "x-" are ignored, as a place for anchors.
//
// # Variables
//
// ${NAME} and ${NAME:default} inside a scalar value stand for a variable of the
// environment. They are replaced after the YAML was parsed, so that a value can
// never change the structure of the file; a plain scalar gets its type from the
// text after replacement. $${ stands for a literal ${. A variable that is not
// defined and has no default is a mistake.
//
// # Overrides
//
// Each override a.b.c=value sets one scalar by its dotted path, as it is
// printed in messages; list items are numbered from 0. Inputs, stages and
// outputs must be there, anything below them is created as needed.
//
// # Components
//
// A stage or output is decoded into the struct that its component registered,
// by the tags of its fields:
//
//	yaml:"key"         the key; fields without it are left alone, embedded structs are inlined
//	doc:"..."          what it is for
//	required:"true"    leaving it out is a mistake
//	default:"..."      the value when it is left out; lists separate items by commas
//	enum:"a,b,c"       the values allowed
//	example:"..."      for the documentation
//	shorthand:"true"   a value that is no mapping stands for this field alone
//	fingerprint:"-"    the value does not change what is written
//
// Types are string, bool, integers, float64, time.Duration ("1h30m", "2d"),
// time.Time (RFC 3339), pipeline.Size ("16MiB"), pipeline.Text, slices (one
// value stands for a list of one), map[string]string, pipeline.Map, structs and
// pointers to structs. A field of type pipeline.Pos without a tag receives the
// place of the mapping. A struct with a method Validate(*pipeline.Issues) is
// asked after it was decoded without a mistake; issues it adds without a place or
// a path get those of the mapping.
package config
