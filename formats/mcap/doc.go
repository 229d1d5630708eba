// Package mcap reads MCAP recordings (specification of mcap.dev, major version
// 0, as of August 2026).
//
// # Layout
//
// All integers are little-endian, nothing is aligned. A file is
//
//	magic      89 'M' 'C' 'A' 'P' 30 0D 0A
//	Header
//	data       Schema, Channel, Message, Attachment, Metadata, and Chunk records
//	           (each followed by MessageIndex records), in any order
//	DataEnd
//	summary    copies of Schema and Channel, Statistics, ChunkIndex,
//	           AttachmentIndex, MetadataIndex, SummaryOffset; may be absent
//	Footer
//	magic
//
// and every record is opcode u8, length u64, content. Content may be longer than
// the fields known here, other than that of Message, DataEnd and Footer; unknown
// opcodes are skipped by their length. A chunk holds Schema, Channel and Message
// records, stored, as an LZ4 frame, or as zstd frames.
//
// # How it is read
//
// Describe reads the tail and uses the summary when it is whole, its checksum
// is right and it agrees with itself: chunk indexes lie inside the data section
// without overlap, their number and that of channels and messages are those of
// Statistics, and all channels and schemas are defined. Otherwise the whole
// file is scanned, which finds everything a summary would tell, and whatever
// was written before a crash. With a summary that tells how many messages of
// which channel each chunk has, chunks without selected rows are not fetched.
//
// Chunks that lie near each other are fetched by one request, several small
// requests are under way together. A channel whose metadata say that it is
// latched (latching, or durability in offered_qos_profiles) makes its table so:
// a selection that asks for latched tables also gets the last message of each
// such channel before its range.
//
// Tables are made per topic, schema content and message encoding. Encodings
// that New was not given, and schemas that do not parse, make raw tables.
//
// # Damage
//
// What lies before the damage is delivered, and what lies behind it as long as
// the framing of records is intact. A checksum that is wrong over content that
// decodes costs no rows. Each damage is a Problem; the kinds are
//
//	truncated          the file ends inside a record, or in zeros
//	corrupt            record framing is lost from here on
//	unindexed          there is no summary that can be used
//	bad_index          the summary contradicts itself or the file
//	chunk_corrupt      a chunk does not decompress, or ends in half a record
//	chunk_size         a chunk unpacks to another size than it claims
//	chunk_limit        a chunk claims to be larger than Limits allow
//	chunk_compression  a chunk is compressed in a way that is not read
//	crc_mismatch       content does not have the checksum stored with it
//	bad_record         a record is shorter than its fields, and is ignored
//	unexpected_record  a record lies where the format does not allow it
//	schema_conflict    a schema is defined twice, differently; the first counts
//	channel_conflict   the same for a channel
//	schema_zero        a schema has the reserved id 0 and is ignored
//	no_schema          a channel has no schema, or one that is not defined; its
//	                   rows are raw, unless its encoding can do without
//	bad_schema         a schema does not parse; its rows are raw
//	raw_encoding       the message encoding is not read; the rows are raw
//	profile_mismatch   a channel's encoding is not that of the file's profile
//	attribute_conflict two metadata records give different attributes
//
// # Attributes
//
// Metadata records named "drivemill" give attributes to the recording: their
// keys vehicle_id, drive_id, logger and campaign are read. The setting
// attributes names others, each as RECORD:KEY:
//
//	inputs:
//	  drives:
//	    uri: s3://fleet-raw/**/*.mcap
//	    formats: {mcap: {attributes: {vehicle_id: "vehicle_info:vin"}}}
//
// # Not read
//
// Compression other than LZ4 and zstd, and major versions other than 0.
package mcap
