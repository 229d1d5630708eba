// Package dbc is the stage that decodes CAN frames with DBC databases.
//
//	stages:
//	  signals:
//	    use: dbc
//	    from: drives.frames
//	    buses: {powertrain: /can/powertrain, body: 2}
//	    databases:
//	      - {file: s3://fleet-meta/powertrain.dbc, bus: powertrain}
//	      - {file: s3://fleet-meta/body-2024.dbc, bus: body, to: 2025-01-01T00:00:00Z}
//	      - {file: s3://fleet-meta/body-2025.dbc, bus: body, from: 2025-01-01T00:00:00Z, when: {vehicle_id: v02}}
//
// # Frames
//
// Any table of CAN frames will do: MDF4 bus logging, can_msgs/Frame topics, or
// frames read back from a lake, so that a mended database decodes frames anew
// and not recordings. Columns are found by name (id, ide or is_extended, dlc,
// data_length, data or data_bytes, rtr or is_rtr, is_error, bus_channel);
// columns names those that are called otherwise. Without a column that tells
// extended identifiers apart, bit 31 of the identifier and values above 0x7FF
// do. A length in bytes counts before the DLC; a DLC of 9 to 15 is 12 to 64
// bytes where there are so many, otherwise 8. Error frames, remote frames and
// rows without identifier or data are kept raw. Tables that say of themselves
// that they hold no data frames (attribute frame_kind), or those of another kind
// of bus (attribute bus: lin), pass unchanged.
//
// # Buses
//
// buses gives names to channel numbers, or to tables by a pattern of their
// names or of the names of their inputs. Without it the bus of a table without channel column has the name of
// the table, less a leading can_; a number under bus is a channel of that name.
// Frames of other channels are of the bus any, and keep their channel column.
//
// # Databases
//
// A database serves its bus, or all, where the attributes under when have those
// values, and from the time from up to, not including, the time to of ts. Of
// several the first that has an entry counts: by identifier in any, then by
// parameter group in any.
//
// # Tables
//
// Each message becomes the table can_<bus>_<message>: attributes and times of
// the frame, columns under keep, then signals as formats/dbc describes them,
// with x_label for texts and x_raw for raw numbers. A signal that was not sent
// with the switch's value, or that the frame is too short for, is null. J1939
// and NMEA 2000 messages have priority, source_address and
// destination_address. Where databases differ in a signal's unit, the later
// gets a column of its own; where they differ in its type, both are double. A
// name that is taken gets _signal. Frames without an entry are in
// can_<bus>_unknown as they were. Every row keeps the origin of its frame.
// Under messages and signals stand those that are wanted; frames of other
// messages, and those without an entry, are then dropped and counted.
//
// # Transfers
//
// Where a database has messages longer than a frame, transfers of ISO 15765-2,
// of J1939-21 and NMEA 2000 fast packets are joined. The row has the times and
// the origin of the frame that completes it, transfer_start is the time of the
// first. Frames of a transfer that never became complete are rejected as
// incomplete_transfer, or dropped; frames that belong to none are kept raw. The
// stage then remembers transfers under way as long as the unit lasts. A message
// of no parameter group is taken to be sent by ISO 15765-2 where it is longer
// than its frames can be, or the database says so (CanTpFcFrameId). Where a
// database describes a transfer with the last byte of its length in front (the
// service of a diagnostic answer is then byte 1 rather than 0), uds_length_byte
// puts that byte there. Groups of more than 1,785 bytes (J1939-22, ETP) and
// ISO-TP with an address in the first byte are not joined: their frames are kept
// raw.
//
// A database that calls its protocol nothing and its frames extended rather
// than J1939PG, though its messages are parameter groups, needs
// protocol: j1939.
package dbc

import (
	"context"
	"time"

	"github.com/drivemill/drivemill/pipeline"
)

// Incomplete is the reason for which frames of broken transfers are rejected.
const Incomplete = "incomplete_transfer"

// Names of what is noted in the ledger.
const (
	noteShort   = "cells_beyond_frame"
	noteSwitch  = "unknown_switch_values"
	noteSpecial = "cells_not_available"
	noteUnknown = "frames_without_entry"
	noteRaw     = "error_and_remote_frames"
	noteBroken  = "incomplete_transfers"
)

// Config is the configuration of the stage.
type Config struct {
	Databases []Database                  `yaml:"databases" required:"true" doc:"CAN databases, the first that has an entry counts"`
	Buses     pipeline.Map[pipeline.Text] `yaml:"buses" doc:"bus by name: a channel number, or a pattern of names of tables or inputs"`
	Columns   Columns                     `yaml:"columns" doc:"columns of the frames, where they have other names than the usual ones"`
	Messages  []pipeline.Text             `yaml:"messages" doc:"messages to decode; * and ? stand for any characters and for one; all other frames are dropped"`
	Signals   []pipeline.Text             `yaml:"signals" doc:"signals to decode, of all messages; * and ? as above; without it all are decoded"`
	Keep      []pipeline.Text             `yaml:"keep" doc:"further columns of the frames to pass on with each message"`
	Special   string                      `yaml:"special_values" default:"discard" enum:"discard,keep" doc:"what becomes of J1939 and NMEA 2000 numbers that say error or not available; discarded, the cell is null"`
	Broken    string                      `yaml:"incomplete_transfers" default:"reject" enum:"reject,drop" doc:"what becomes of frames of transfers that never became complete"`
}

// Database is one DBC file and the frames it is for.
type Database struct {
	File      pipeline.Text               `yaml:"file" required:"true" shorthand:"true" doc:"the DBC file"`
	Bus       pipeline.Text               `yaml:"bus" doc:"name of a bus, or channel number; without it the database serves all"`
	When      pipeline.Map[pipeline.Text] `yaml:"when" doc:"value by attribute: for frames that have all of them"`
	From      time.Time                   `yaml:"from" doc:"for frames whose ts is not before"`
	To        time.Time                   `yaml:"to" doc:"for frames whose ts is before"`
	Protocol  string                      `yaml:"protocol" default:"auto" enum:"auto,can,j1939,nmea2000" doc:"how extended frames find their message; auto: as the database says"`
	UDSLength bool                        `yaml:"uds_length_byte" doc:"the signals of ISO-TP messages count from the last byte of the length, which lies in front of the payload, as databases made for single frames do"`
}

// Columns names the columns of frames.
type Columns struct {
	ID       pipeline.Text `yaml:"id" doc:"identifier"`
	Extended pipeline.Text `yaml:"extended" doc:"whether the identifier has 29 bits"`
	Remote   pipeline.Text `yaml:"remote" doc:"whether it is a remote frame"`
	Error    pipeline.Text `yaml:"error" doc:"whether it is an error frame"`
	DLC      pipeline.Text `yaml:"dlc" doc:"data length code"`
	Length   pipeline.Text `yaml:"length" doc:"number of data bytes"`
	Data     pipeline.Text `yaml:"data" doc:"data bytes"`
	Channel  pipeline.Text `yaml:"channel" doc:"number of the bus channel"`
}

// Spec announces the stage.
func Spec() pipeline.StageSpec {
	return pipeline.StageSpec{
		Name:    "dbc",
		Summary: "decode CAN frames with DBC databases",
		Doc: "Makes of a table of CAN frames (MDF4 bus logging, can_msgs/Frame, frames from a lake) one table for each message of its `databases`, `can_<bus>_<message>`, with a column for each signal, " +
			"texts of value tables in `x_label`, and nulls where a signal was not sent. Databases are chosen by bus, attributes and time. J1939 and NMEA 2000 messages are found by parameter group; " +
			"transfers of several frames are joined. Frames without an entry, error and remote frames are kept as they are in `can_<bus>_unknown`. What is wrong with a database is a warning with its line.",
		Example: `pipeline: can-signals
inputs:
  drives:
    uri: testdata/can/{vehicle_id}_{drive_id}.mcap
    tables:
      frames: {match: /can/*}
stages:
  signals:
    use: dbc
    from: drives.frames
    buses: {powertrain: /can/powertrain, truck: /can/truck}
    databases:
      - {file: testdata/can/powertrain.dbc, bus: powertrain}
      - {file: testdata/can/truck.dbc, bus: truck}
outputs:
  lake: {use: parquet, from: signals, uri: lake}
`,
		Behaviour: 1,
		Config:    func() any { return new(Config) },
		New: func(ctx context.Context, config any, env pipeline.Env) (pipeline.Stage, error) {
			return newStage(ctx, config.(*Config), env)
		},
	}
}
