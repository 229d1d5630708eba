// Package sqlite reads tables of SQLite 3 database files, page by page, from
// any source that can be read at an offset. It reads what rosbag2 writes:
// tables with rowids, in the order of these, and the ends of indexes. It never
// writes, takes no locks, and looks at no file beside the database.
//
// Layout, after "Database File Format" of sqlite.org, file format 4:
//
//	header, 100 bytes   "SQLite format 3\0"; page size u16 at 16 (1 is 65536),
//	                    write and read version at 18 and 19 (2: WAL), reserved
//	                    bytes per page at 20, change counter u32 at 24, pages
//	                    u32 at 28 (valid if 24 equals 92), text encoding u32 at 56
//	page 1              b-tree of sqlite_schema, its header behind the file's
//	b-tree page         type (5 table interior, 13 table leaf, 2 and 10 index),
//	                    cells u16 at 3, rightmost child u32 at 8 (interior only),
//	                    pointers u16 to cells
//	table leaf cell     varint payload length, varint rowid, payload; what does
//	                    not fit in the page goes on in a chain of overflow pages,
//	                    each a u32 next page and content
//	record              varint header length, a varint type per column, values
//
// All numbers are big-endian.
//
// Every page number, cell offset and length is checked before it is followed; a
// page that two others claim is read once. What is damaged is told as Damage and
// left out; only failures of the source are errors.
//
// Not read: a write-ahead log or rollback journal (their owner must say that
// they are there), tables WITHOUT ROWID, encrypted or compressed databases.
// Limits: payloads of 1 GiB, trees 40 pages deep.
package sqlite
