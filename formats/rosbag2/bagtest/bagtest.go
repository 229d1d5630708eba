// Package bagtest writes small rosbag2 recordings in sqlite3 storage, for tests
// and samples: databases that SQLite reads, with every choice that matters to a
// reader at hand. Tables are laid out in one go, pages in the order in which
// their rows come.
package bagtest

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"unicode/utf16"
)

// DB is a database.
type DB struct {
	PageSize int // 0: 4096
	Reserved int // bytes at the end of each page
	Encoding int // 1 UTF-8 (also 0), 2 and 3 UTF-16 little- and big-endian
	Fanout   int // most children of a page; 0: as many as fit
	WAL      bool
	NoIndex  bool // without the index on timestamps

	Layout      int // of the tables, 1 to 4; 0: 4
	Distro      string
	Metadata    []string // rows of table metadata
	Topics      []Topic
	Definitions []Definition
	Messages    []Message
}

// Topic is a row of table topics, its id is the place in the list, from 1.
type Topic struct {
	Name, Type, Format, QoS, Hash string // Format empty: cdr
}

// Definition is a row of table message_definitions.
type Definition struct{ Type, Encoding, Text, Hash string }

// Message is a row of table messages.
type Message struct {
	ID    int64 // 0: one more than that before
	Topic int   // place in Topics, from 0; outside of it for a message of no topic
	Time  int64
	Data  []byte
}

// text spells text in the encoding of the database.
func (d *DB) text(s string) []byte {
	if d.Encoding < 2 {
		return []byte(s)
	}
	var out []byte
	for _, u := range utf16.Encode([]rune(s)) {
		if d.Encoding == 2 {
			out = binary.LittleEndian.AppendUint16(out, u)
		} else {
			out = binary.BigEndian.AppendUint16(out, u)
		}
	}
	return out
}

// Bytes returns the database.
func (d *DB) Bytes() []byte {
	size := cmp.Or(d.PageSize, 4096)
	layout := cmp.Or(d.Layout, 4)
	p := &pager{size: size, usable: size - d.Reserved}
	p.alloc()
	var schema []row
	add := func(kind, name, table string, root uint32, sql string) {
		schema = append(schema, row{int64(len(schema) + 1), d.record(kind, name, table, int64(root), sql)})
	}
	table := func(name, sql string, rows []row, fanout int) {
		add("table", name, name, p.table(rows, fanout), "CREATE TABLE "+name+"("+sql+")")
	}
	if layout >= 3 {
		table("schema", "schema_version INTEGER PRIMARY KEY, ros_distro TEXT NOT NULL", []row{{int64(layout), d.record(nil, d.Distro)}}, 0)
		var rows []row
		for i, m := range d.Metadata {
			rows = append(rows, row{int64(i + 1), d.record(nil, int64(9), m)})
		}
		table("metadata", "id INTEGER PRIMARY KEY, metadata_version INTEGER NOT NULL, metadata TEXT NOT NULL", rows, 0)
	}
	var rows []row
	columns := []string{"id INTEGER PRIMARY KEY", "name TEXT NOT NULL", "type TEXT NOT NULL", "serialization_format TEXT NOT NULL", "offered_qos_profiles TEXT NOT NULL", "type_description_hash TEXT NOT NULL"}
	width := []int{4, 5, 5, 6}[layout-1]
	for i, t := range d.Topics {
		values := []Value{nil, t.Name, t.Type, cmp.Or(t.Format, "cdr"), t.QoS, t.Hash}
		rows = append(rows, row{int64(i + 1), d.record(values[:width]...)})
	}
	table("topics", strings.Join(columns[:width], ", "), rows, 0)
	if layout >= 4 {
		rows = nil
		for i, x := range d.Definitions {
			rows = append(rows, row{int64(i + 1), d.record(nil, x.Type, x.Encoding, x.Text, x.Hash)})
		}
		table("message_definitions", "id INTEGER PRIMARY KEY, topic_type TEXT NOT NULL, encoding TEXT NOT NULL, encoded_message_definition TEXT NOT NULL, type_description_hash TEXT NOT NULL", rows, 0)
	}
	rows = nil
	var times [][2]int64
	id := int64(0)
	for _, m := range d.Messages {
		id++
		if m.ID != 0 {
			id = m.ID
		}
		rows = append(rows, row{id, d.record(nil, int64(m.Topic+1), m.Time, m.Data)})
		times = append(times, [2]int64{m.Time, id})
	}
	table("messages", "id INTEGER PRIMARY KEY, topic_id INTEGER NOT NULL, timestamp INTEGER NOT NULL, data BLOB NOT NULL", rows, d.Fanout)
	if !d.NoIndex {
		slices.SortFunc(times, func(a, b [2]int64) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) })
		var entries [][]byte
		for _, t := range times {
			entries = append(entries, d.record(t[0], t[1]))
		}
		add("index", "timestamp_idx", "messages", p.index(entries), "CREATE INDEX timestamp_idx ON messages (timestamp ASC)")
	}
	d.first(p, schema)
	return slices.Concat(p.pages...)
}

// first writes the first page: the header of the file and the schema.
func (d *DB) first(p *pager, schema []row) {
	var cells [][]byte
	room := p.usable - 108
	for _, r := range schema {
		cells = append(cells, p.cell(r))
		if room -= len(cells[len(cells)-1]) + 2; room < 0 {
			panic(fmt.Sprintf("bagtest: the schema does not fit in a page of %d bytes", p.size))
		}
	}
	p.write(1, 13, cells, 0)
	h := p.page(1)
	copy(h, "SQLite format 3\x00")
	binary.BigEndian.PutUint16(h[16:], uint16(p.size)) // 65536 is 0 here
	if p.size == 65536 {
		binary.BigEndian.PutUint16(h[16:], 1)
	}
	h[18], h[19] = 1, 1
	if d.WAL {
		h[18], h[19] = 2, 2
	}
	h[20], h[21], h[22], h[23] = byte(d.Reserved), 64, 32, 32
	put := func(at int, v uint32) { binary.BigEndian.PutUint32(h[at:], v) }
	put(24, 1)
	put(28, uint32(len(p.pages)))
	put(40, 1)
	put(44, 4)
	put(56, uint32(cmp.Or(d.Encoding, 1)))
	put(92, 1)
	put(96, 3040000)
}
