// Package rosbag reads ROS 1 bags of format version 2.0, closed (.bag) or not
// (.bag.active), indexed or not, whole or damaged.
//
// # Layout
//
// A bag is the line "#ROSBAG V2.0" and records. All numbers are little-endian.
//
//	record  u32 length, header fields; u32 length, data
//	field   u32 length, name=value; the first = splits
//
// The field op tells what a record is:
//
//	0x03 bag header   index_pos, conn_count, chunk_count; first, padded to 4 KiB
//	0x05 chunk        compression (none, bz2, lz4), size; data are records:
//	  0x07 connection   conn, topic; data are fields: type, md5sum,
//	                    message_definition, callerid, latching
//	  0x02 message      conn, time; data are the serialized message
//	0x04 index data   after each chunk and for each of its connections: ver 1,
//	                  conn, count; data are times and offsets in the chunk
//	0x06 chunk info   chunk_pos, start_time, end_time, count; data are
//	                  connections with their number of messages
//
// index_pos is where all connections are repeated, followed by the chunk infos;
// 0 where the bag was not closed. Times are u32 seconds and u32 nanoseconds
// since 1970: every value fits into 64-bit nanoseconds, so that no message has
// a time out of range, and time 0 is a time like any other. Nanoseconds past a
// second are added up and reported (bad_time).
//
// # Tables
//
// The connections of one topic, type and definition hash make one table, called
// like the topic. Further tables of a topic, of other types or hashes, carry
// "#" and the beginning of the hash behind it. Columns are log_time, the
// recorder's time of receipt, and those of the message; the clocks are header,
// where the type begins with a std_msgs/Header, and log. Messages whose
// definition is empty or cannot be parsed stay bytes in the column data.
//
// Where a connection is latched, its table is: a selection that asks for latched
// tables also gets the last message of each connection before its range.
//
// # Split bags
//
// The parts that rosbag record --split writes, name_0.bag, name_1.bag, ... or
// with the time at which each was begun in front of the number, are one
// recording. Connections are numbered anew in each part; those of a topic, type
// and definition share a table across all parts. What belongs together is told
// by names alone; where they leave a doubt, each object is a recording.
//
// # Damage
//
// An index is used when it agrees with the bag header and with itself;
// otherwise the bag is scanned. A scan skips what is no record up to the next
// chunk, takes messages that lie outside of chunks because their writer died,
// and takes from a chunk in which the file ends the messages that are complete.
// A chunk that cannot be unpacked loses its own messages and no others. What
// was met is told in the problems of the description and of the decoder:
//
//	bad_part, unindexed, truncated, bad_index, corrupt, padding, unterminated_chunk,
//	bad_chunk, crc_mismatch, unsupported_compression, index_mismatch, bad_time,
//	bad_connection, duplicate_connection, no_schema, bad_schema, no_decoder
//
// # Limits
//
// A record header has up to 1 MiB, a connection 16 MiB, a chunk 1 GiB, stored
// or unpacked; a bag has up to 2^20 connections with 256 MiB of definitions.
//
// # Not read
//
// Encrypted bags, and bags older than version 2.0 (#ROSRECORD V1.1 and V1.2,
// #ROSLOG), are refused by name. The index data of chunks are not used to find
// single messages: chunks are decoded whole.
package rosbag
