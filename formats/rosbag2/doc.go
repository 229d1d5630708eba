// Package rosbag2 reads the recordings of ROS 2.
//
// A recording is a folder:
//
//	metadata.yaml      rosbag2_bagfile_information: version, storage_identifier,
//	                   relative_file_paths, message counts by topic and (since
//	                   version 5) by file, compression_format and _mode, ros_distro
//	name_0.db3         sqlite3 storage, or
//	name_0.mcap        mcap storage, or
//	name_0.db3.zstd    either, compressed as a whole (compression_mode FILE)
//
// and so are the storage files alone. What is in them decides, not their names;
// metadata.yaml adds what they cannot tell: which of them there should be, that
// messages are compressed one by one (mode MESSAGE), and counts. Versions 1 to 9
// of the metadata are known; of later ones what parses is taken. Counts are
// trusted, and spare a scan, where they agree with the rowids of the databases.
// Otherwise databases are scanned, and what the metadata promises beyond what is
// there is lost.
//
// The tables of sqlite3 storage came in four layouts, which are told apart by
// their columns:
//
//	topics               id, name, type, serialization_format; since 2
//	                     offered_qos_profiles; since 4 type_description_hash
//	messages             id, topic_id, timestamp (ns, receive time), data
//	schema, metadata     since 3: schema_version, ros_distro; metadata (YAML)
//	message_definitions  since 4: topic_type, encoding, encoded_message_definition
//
// Messages come in the order of their ids, file after file; the ordinal of a
// record counts the rows of table messages of its file. Databases are read page
// by page by package sqlite, MCAP files by package mcap. A write-ahead log or
// a journal beside a database is reported, not read.
//
// Definitions are those of the recording; where it holds none, or one that does
// not parse, those of the folder that the setting definitions names, else those
// built in for the recording's distribution. The folder has .msg, .srv, .action
// and .idl files, one for each type; what an .idl file uses must be among the
// files that it includes. Which were used is told in the
// details and in the attribute definition_source. Messages in another format than
// cdr, or of unknown types, are kept as bytes.
//
// The last row before a range of time of latched topics (durability
// transient_local) is looked for in all files, and comes once. Databases that may
// hold it are walked over for that, without the bytes on pages of their own.
//
// A page of table messages that cannot be read costs its rows, or where it is
// not a leaf those of all leaves below it. How many these were is not known:
// the ordinals of records behind it are less by their number, as the problem
// bad_page says.
//
// Files compressed as a whole are unpacked while they are read: into memory up
// to 8 MiB, otherwise into a temporary file (setting spill_dir), never beside the
// recording.
//
// Refused by name: storage plugins other than sqlite3 and mcap, compression
// other than zstd, recordings of both kinds of storage. Limits: 16 MiB of
// metadata, 1 GiB a message, 256 GiB an unpacked file.
package rosbag2
