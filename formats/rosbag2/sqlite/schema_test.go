package sqlite

import (
	"slices"
	"testing"
)

func TestColumns(t *testing.T) {
	for sql, want := range map[string][]string{
		`CREATE TABLE m(id INTEGER PRIMARY KEY, topic_id INTEGER NOT NULL, data BLOB NOT NULL)`: {"id", "topic_id", "data"},
		"CREATE TABLE \"m\" ( [id] integer primary key autoincrement, `Topic ID` INT DEFAULT (1, 2) -- a, b\n, \"a\"\"b\" TEXT CHECK (x IN ('a, b', ')')) /* , */, PRIMARY KEY (id), constraint c unique (id), FOREIGN KEY (id) REFERENCES n(id))": {"id", "topic id", `a"b`},
		`CREATE TABLE m AS SELECT 1`: nil,
		`CREATE TABLE m(`:            nil,
		``:                           nil,
		`CREATE TABLE m('`:           nil,
	} {
		var tab Table
		body, _ := parentheses(sql)
		for _, def := range split(body) {
			tab.column(words(def))
		}
		if !slices.Equal(tab.Columns, want) {
			t.Errorf("%s: columns %q, want %q", sql, tab.Columns, want)
		}
	}
}

func TestVarint(t *testing.T) {
	for _, c := range []struct {
		b []byte
		v uint64
		n int
	}{
		{nil, 0, 0}, {[]byte{0x7f}, 127, 1}, {[]byte{0x81, 0}, 128, 2}, {[]byte{0x80}, 0, 0},
		{[]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, ^uint64(0), 9},
		{[]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 0, 0},
	} {
		if v, n := Varint(c.b); v != c.v || n != c.n {
			t.Errorf("% x: %d of %d bytes, want %d of %d", c.b, v, n, c.v, c.n)
		}
	}
}

func TestInt(t *testing.T) {
	for _, c := range []struct {
		serial uint64
		b      []byte
		v      int64
	}{
		{0, nil, 0}, {1, []byte{0xff}, -1}, {2, []byte{0x80, 0}, -1 << 15}, {3, []byte{0xff, 0xff, 0xfe}, -2}, {3, []byte{1, 0, 0}, 1 << 16},
		{4, []byte{0x80, 0, 0, 0}, -1 << 31}, {5, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xfd}, -3}, {5, []byte{0, 1, 0, 0, 0, 0}, 1 << 32},
		{6, []byte{0x80, 0, 0, 0, 0, 0, 0, 0}, -1 << 63}, {8, nil, 0}, {9, nil, 1},
	} {
		if v := Int(c.serial, c.b); v != c.v || Size(c.serial) != uint64(len(c.b)) {
			t.Errorf("serial type %d, % x: %d, want %d", c.serial, c.b, v, c.v)
		}
	}
}

// FuzzSchema takes any text for the definition of a table.
func FuzzSchema(f *testing.F) {
	f.Add(`CREATE TABLE "m" ( [id] integer primary key, 'a' /* x */, b CHECK (x IN ('a, b', ')')) -- y
)`)
	f.Fuzz(func(t *testing.T, sql string) {
		body, tail := parentheses(sql)
		for _, def := range split(body) {
			var tab Table
			tab.column(words(def))
		}
		words(tail)
	})
}
