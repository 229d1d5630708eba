// Package mdf4 reads ASAM MDF 4 recordings, revisions 4.00 to 4.20 whole and of
// 4.30 what is stored like them.
//
// # Layout of a file
//
// An identification of 64 bytes is followed by the header block (HD) at offset
// 64. From there links, which are offsets in the file, lead to all other blocks.
// Each begins with "##", two letters, its length, the number of its links and the
// links; its data section follows. All numbers are little-endian, but for the
// values of channels that say otherwise.
//
//	HD ─ DG ─ CG ─ CN ─ CC        data groups, channel groups, channels, conversions
//	      │    └ SI  └ CN | CA     acquisition source; structures and arrays
//	      └ DT | DZ | DL | HL | LD  records, in one block or a list of blocks
//	HD ─ FH, AT, EV, CH            history, attachments, events, hierarchy
//
// A record holds the fields of all channels of a group, each at a byte and a bit
// offset, and behind them invalidation bits. Only links are followed; blocks of
// unknown kinds, surplus links and bytes beyond the fields of a block are passed
// over. Guard blocks (GD) of 4.30 are unwrapped.
//
// # Tables
//
// A channel group is a table, called by the name of its source and its
// acquisition name ("CANape/100ms"); bus logging without an acquisition name adds
// the frame (CAN1/CAN_DataFrame). A group without names is called by its only
// channel, or by a hash of its channels; a name that is taken gets a hash of
// names and sources as suffix. Names never depend on the position of a group.
// Groups of column-oriented storage that share a master (4.20) are one table.
//
// The column time is the start of the recording plus the master channel in
// seconds, rounded to the nanosecond: the clock "master". Times that are no number,
// or that nanoseconds in 64 bits do not hold (1677 to 2262), are null and counted
// as cells made null. A recording whose
// start is a local time has null there and the reading of the wall clock in
// time_wall, unless the setting time_zone tells the zone. Masters of angle,
// distance and index are columns like others.
//
// A channel x is a column x: the number as it is stored, in the smallest type
// that holds it (float16 becomes float32), or the physical value as float64 where
// a conversion makes one. A conversion to texts adds x_label; x_raw is there
// where x holds physical values or texts that do not lead back to what is
// stored. Complex numbers are x.re and x.im, CANopen dates and times a
// timestamp x with the bytes in x_raw. Structures are dotted names, arrays lists
// of fixed size, the last index innermost; arrays of structures have a list for
// each member. Invalidation bits become nulls. Text that is not in its encoding is
// taken as ISO 8859-1 and counted. The fields of a bus frame are columns by their
// names in lower case (bus_channel, id, ide, dlc, data_length, data_bytes, dir,
// ...), integers of the same width in every recording; the attributes bus and
// frame_kind of a table tell what it holds.
//
// In the long layout, chosen by table name, a record gives a row for each signal:
// signal_id, time, value_double, value_int, value_text. The table signals says
// what each signal_id is: table, column, source, bus, message, unit, labels, rate. It
// is there where a table has the long layout or the setting signals asks for it:
// wide tables carry the same in the metadata of their columns, and a recording
// that is read whole should not gain a table that lies nowhere in it.
//
// # Order and origin
//
// Storage order goes data group by data group, as the header lists them, and in
// each record by record, also where groups are mixed. The ordinal of a record is
// the position of its data group times 2^40, plus the number of records before it
// in that group's stream (values stored as records do not count; with tables in
// long layout, times the number of signals). Arrays whose elements lie in groups
// or data blocks of their own (CG and DG templates) give a table for each
// element, called by its indices (CAN/map[0][2]), because each has times of its
// own; those in data blocks count as data groups behind the one that describes
// them.
//
// In order of time one cursor for each data group goes on at the same pace: of
// the batches that come next, the one whose first row is earliest. Where the
// times of a table go back, its rows still come as they lie, every time the same,
// and the problem time_goes_back tells of it; other tables are interleaved with
// them by the first row of a batch.
//
// A range of time is applied to every record, because masters may go back. Where
// a channel says that it rises strictly (cn_flags bit 11) and the group has a
// counter, reading ends with the first block of records behind the range, and
// those that follow count as found and not selected. The times that lists of
// blocks may hold are not used: the standard makes their type that of the master,
// and no writer is known that fills them.
//
// # Memory
//
// Data blocks are read in order, a few at a time; those of deflate, zstd and lz4
// are unpacked in parallel. Values of variable length are found by position: the
// blocks used last are kept, 64 MiB for all channels of a data group, and of
// all other blocks only their place. In unsorted groups, where such values are
// records themselves, 16 MiB behind the last decoded record are kept, and at most
// 256 MiB wait for records that refer to them; a record that refers to what is
// gone is rejected. Limits says what a file may claim.
//
// # Damage
//
// What is claimed and not there is counted as lost. A data block that cannot be
// unpacked costs a sorted group the records that lie in it, an unsorted one all
// that follow, because nothing tells where the next record begins. A group
// whose description lies behind the end of the file is left out. An
// unfinalised file (UnFinMF) is read as if it were finished: records are counted,
// the last data block goes on to the next block or the end, links that were
// never set are looked for, and offsets of values are counted anew, as its flags
// say. It is never written to.
//
// # Not read
//
// MDF 2 and 3 are refused by name. Arrays of arrays whose elements lie in groups
// of their own, and those of more than 4,096 such elements, are left out by name;
// the streams, variants, unions and
// lists of 4.30 are kept as bytes; sample reductions are listed, not read.
package mdf4
