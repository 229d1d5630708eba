// Package drivestats reads the daily CSV files of Backblaze's Drive Stats: one
// row for each drive of a fleet that was in service on that day.
//
// # File
//
// A file is text of comma-separated cells, plain or compressed with gzip or
// zstd, named for its day: 2018-02-25.csv, 2018-02-25.csv.gz. The first line
// names the columns. Lines end in LF, CR LF, or, in some lines of the years 2018
// and 2019, CR alone, each as it likes. Cells may be quoted as in RFC 4180, and
// keep the line ends between their quotes as they are; a quote that does not
// begin a cell stands for itself. An empty cell is null. Empty lines are nothing.
//
// Columns are found by name, never by position: they came in twelve layouts so
// far, from 85 columns in 2013 to 197 since April 2024, always inserted in the
// middle. Files joined end to end are read as one: a header line in the middle
// is no row, and rows after it follow it.
//
// # Table
//
// There is one table, drive_stats, and its columns are always all 197 known
// ones: date, serial_number, model, capacity_bytes, failure, datacenter,
// cluster_id, vault_id, pod_id, pod_slot_num, is_legacy_format, then
// smart_<id>_normalized and smart_<id>_raw by ascending id. Those a file lacks
// are null in all its rows and cost nothing. Columns beyond them are appended
// in the order of the file: smart_<id>_* as int64, others as text, each with a
// problem of kind unknown_column. All SMART values are int64; raw ones are 48 bits wide. Placement
// ids are text, because "0007" is not 7.
//
// The date is that of the cell where it is a date (YYYY-MM-DD) within one day
// of the file's name, otherwise that of the name; both kinds of disagreement
// are counted in problems (date_replaced, date_differs), as are header lines in
// the middle (repeated_header). A file whose name is
// no date is taken at its word. The table has no clock; a time range selects rows by
// midnight UTC of their date.
//
// # Bad rows
//
// A row is rejected as field_count when it has more or fewer cells than the
// header, bad_quote when a quoted cell has no end, bad_cell when a selected
// cell is not of its column's type. With DecodeOptions.NullCells a bad cell is
// null instead, and counted. The offset of a rejected row counts decompressed
// bytes, its error tells the line.
//
// A line of more than 1 MiB ends decoding. Zip archives are not this package's:
// their members are recordings, which the pipeline finds by name.
package drivestats
