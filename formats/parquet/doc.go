// Package parquet writes the lake and reads Parquet files.
//
// # Files
//
// A file (Apache Parquet format 2.9 and later) begins and ends with "PAR1". Row
// groups follow one another; each holds a chunk for every leaf column, which is
// an optional dictionary page and data pages. Behind them lie the page indexes,
// then the footer: a Thrift structure with schema, places and statistics, and
// its length in four bytes.
//
// What is written: data pages of version 1, whose levels are compressed with
// their values and which every engine reads, of 32 Ki rows or 1 MiB, whichever
// comes first, each with a CRC; times in DELTA_BINARY_PACKED; strings in a dictionary where one
// saves a fifth, otherwise, as bytes, in DELTA_LENGTH_BYTE_ARRAY; the rest
// PLAIN; three-level lists; statistics and page indexes with bounds cut to 64
// bytes, without NaN, zeros of both signs taken together. The key
// "drivemill.columns" of the footer holds a JSON description of the table and
// its columns: names, types, units and comments of the source.
//
// Columns of strings that the output's bloom names get a split-block Bloom filter
// behind each row group, of 11 bits for each distinct value.
//
// The bytes depend on the rows and the configuration only. Row groups are cut
// at a number of rows or of bytes before encoding, counted per row; which
// strings get a dictionary is decided by the strings of the row group; files
// end behind the row group that makes them large enough. Nothing depends on
// where batches end, on workers, memory or the build.
//
// # Types and names of the lake
//
//	int8, int16, int32, uint8, uint16   int32
//	uint32, int64                       int64
//	uint64                              decimal(20,0)
//	float, double, bool, date           the same
//	string, label                       STRING
//	binary                              BYTE_ARRAY
//	ts (the declared clock)             TIMESTAMP(MICROS), floored, and ts_ns: int64, exact
//	other times, durations              int64 nanoseconds, name ends in _ns
//	list, fixed-size list               LIST
//	struct                              group
//	null                                int32, always null
//
// With types: source, integers keep width and sign as annotations, times are
// TIMESTAMP(NANOS), and durations stay int64 nanoseconds under their own name.
//
// Names are [a-z0-9_] without an underscore in front: upper case is lowered,
// anything else becomes an underscore. Where two names become one, the later
// gets an underscore and six hex digits of the SHA-256 of its own. Names of
// tables always follow these rules, because they are directories.
//
// # The way of values
//
// Values and levels go to pages in bulk. Values are a window on the Arrow
// buffer, or a copy of it without the nulls (gather.go); levels are made of
// offsets and validity, a list at a time (levels.go). Pages are put together
// here (chunk.go) out of parquet-go's encodings and Thrift structures. Tests
// read every file with parquet-go's own reader and compare values, levels, page
// index and bounds with a walk over the rows.
//
// A row group lies in the batches in which its rows came. Only pages that span
// batches, columns of strings, which share a dictionary, and rows that must be
// sorted are joined (series.go, rows.go).
//
// # Reading
//
// The reader takes nothing from parquet-go but the Thrift structures: it
// decodes pages itself, because every length in a file is a claim that must be
// checked before memory is given for it. Not read are encrypted files, INT96,
// decimals of more than 38 digits, levels in BIT_PACKED, and the codecs
// brotli, LZO and the old LZ4; each is refused by name. Times that nanoseconds
// cannot hold are an error. Clock times of the day become durations, times
// without a zone are taken for UTC.
//
// # Limits
//
// A footer that is read has up to 256 MiB, a page 512 MiB and 2^26 values once it
// is unpacked, and beyond 64 MiB no more than 4,096 times what is stored; the
// header of a page has up to 16 MiB. Columns nest up to 64 deep.
package parquet
