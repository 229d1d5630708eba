package dbc

import (
	"context"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/stages/internal/rowtest"
)

// env serves databases by name.
type env struct {
	files    map[string]string
	warnings *[]string
}

func (env) OpenStore(context.Context, string) (pipeline.Store, error) {
	return nil, pipeline.ErrNotFound
}

func (env) LoadTable(context.Context, pipeline.Text) (*pipeline.SideTable, error) {
	return nil, pipeline.ErrNotLoaded
}

func (e env) LoadFile(_ context.Context, uri pipeline.Text) (*pipeline.SideFile, error) {
	if e.files == nil {
		return nil, pipeline.ErrNotLoaded
	}
	text, ok := e.files[uri.Value]
	if !ok {
		return nil, uri.Issuef(0, "there is no file at %s", uri.Value)
	}
	return &pipeline.SideFile{URI: "mem://" + uri.Value, Data: []byte(text), SHA256: uri.Value}, nil
}

func (e env) Warn(i *pipeline.Issue) {
	if e.warnings != nil {
		*e.warnings = append(*e.warnings, i.Error())
	}
}

const plain = `BO_ 256 Engine: 4 X
 SG_ Speed : 0|16@1+ (0.5,0) [0|0] "rpm" X
 SG_ State : 16|8@1+ (1,0) [0|0] "" X
 SG_ Temp : 24|8@1+ (1,0) [0|0] "K" X
VAL_ 256 State 0 "off" 1 "on";
`

const other = `BO_ 256 Engine: 4 X
 SG_ Speed : 7|16@0+ (1,0) [0|0] "rpm" X
 SG_ State : 16|8@1+ (1,0) [0|0] "" X
 SG_ Temp : 24|8@1+ (1,-273) [0|0] "degC" X
VAL_ 256 State 1 "on" 2 "boost" 0 "off";
`

const groups = `BO_ 2364540158 EEC1: 8 X
 SG_ RPM : 24|16@1+ (0.125,0) [0|0] "rpm" X
BO_ 2348810494 TSC1: 8 X
 SG_ Mode : 0|8@1+ (1,0) [0|0] "" X
BO_ 2566834942 DM1: 20 X
 SG_ Lamp : 0|8@1+ (1,0) [0|0] "" X
 SG_ Last : 152|8@1+ (1,0) [0|0] "" X
BO_ 256 Classic: 8 X
 SG_ A : 0|8@1+ (1,0) [0|0] "" X
BA_DEF_ "ProtocolType" STRING ;
BA_ "ProtocolType" "J1939";
`

var files = map[string]string{"plain.dbc": plain, "other.dbc": other, "groups.dbc": groups,
	"nmea.dbc": "BO_ 2381388286 Heading: 8 X\n SG_ H : 8|16@1+ (1,0) [0|0] \"\" X\nBO_ 2364611070 Wrong: 8 X\n SG_ W : 0|8@1+ (1,0) [0|0] \"\" X\n"}

// when is the time of frame i.
func when(i int) time.Time { return time.Unix(100, 0).Add(time.Duration(i) * time.Second) }

// bus is a table of MDF4 bus logging.
var busTable = rowtest.Table("CAN_DataFrame",
	rowtest.F("vehicle_id", arrow.LabelType, pipeline.MetaRole, pipeline.RoleAttribute), rowtest.F("ts", arrow.TimeType, pipeline.MetaRole, pipeline.RoleTime),
	rowtest.F("bus_channel", arrow.Uint8Type), rowtest.F("id", arrow.Uint32Type), rowtest.F("ide", arrow.Uint8Type), rowtest.F("dlc", arrow.Uint8Type),
	rowtest.F("data_length", arrow.Uint8Type), rowtest.F("data_bytes", arrow.BinaryType), rowtest.F("rtr", arrow.Uint8Type))

// f is a frame: channel, identifier (x in front: 29 bits), payload in hex.
func frame(i, channel int, id, payload string) []any {
	ide := 0
	if strings.HasPrefix(id, "x") {
		id, ide = id[1:], 1
	}
	var n int
	fmt.Sscanf(id, "%x", &n)
	b, err := hex.DecodeString(strings.ReplaceAll(payload, " ", ""))
	if err != nil {
		panic(err)
	}
	return []any{"v1", when(i), channel, n, ide, min(len(b), 15), len(b), string(b), 0}
}

func database(file string, change func(*Database)) Database {
	d := Database{File: rowtest.Text(file), Protocol: "auto"}
	if change != nil {
		change(&d)
	}
	return d
}

func onBus(name string) func(*Database) { return func(d *Database) { d.Bus = rowtest.Text(name) } }

func settings(databases ...Database) *Config {
	return &Config{Databases: databases, Special: "discard", Broken: "reject"}
}

func bind(t testing.TB, c *Config, tables ...*pipeline.Table) *pipeline.Binding {
	t.Helper()
	st, err := Spec().New(t.Context(), c, env{files: files})
	if err != nil {
		t.Fatal(err)
	}
	b, err := st.Bind(tables)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// result is what came out: rows by table, with the origin in front.
type result struct {
	rows map[string][]string
	acct pipeline.Account
	bad  []string
}

func (r *result) String() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(r.rows)) {
		fmt.Fprintf(&b, "%s: %s\n", name, strings.Join(r.rows[name], "; "))
	}
	return b.String()
}

// run sends rows through the stage in batches of that many, and checks that the
// ledger balances, that rows of a table come in order, and that all memory is
// given back. Columns with a role are left out of the result.
func run(t testing.TB, b *pipeline.Binding, in *pipeline.Table, size int, needed func(*pipeline.Table) []bool, rows ...[]any) *result {
	t.Helper()
	mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	r := &result{rows: make(map[string][]string)}
	tables := make(map[*pipeline.Table]bool)
	for _, o := range b.Outputs {
		tables[o.Table] = true
		if len(o.Columns) != o.Table.Schema.NumFields() {
			t.Errorf("table %s: lineage of %d of %d columns", o.Table.Name, len(o.Columns), o.Table.Schema.NumFields())
		}
	}
	p, err := b.Open(pipeline.ProcessOptions{Allocator: mem, Needed: needed, Reject: func(bad pipeline.BadRow) error {
		r.bad = append(r.bad, fmt.Sprintf("%s@%d %s", bad.Table, bad.Record, bad.Reason))
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	out := 0
	last := make(map[string]int64)
	emit := func(e pipeline.Element) error {
		defer e.Batch.Release()
		if !tables[e.Batch.Table] || !e.Batch.Record.Schema().Equal(e.Batch.Table.Schema) {
			t.Errorf("batch of table %s, which was not announced so", e.Batch.Table.Name)
		}
		out += e.Batch.Rows()
		for i, line := range strings.Split(strings.TrimSuffix(rowtest.Rows(e.Batch.Record), "\n"), "\n") {
			at := e.Batch.Origin.At(i)
			if was, ok := last[e.Batch.Table.Name]; ok && was >= at {
				t.Errorf("table %s: record %d after %d", e.Batch.Table.Name, at, was)
			}
			last[e.Batch.Table.Name] = at
			cells := strings.Split(line, " ")
			skip := 0
			for _, f := range e.Batch.Table.Schema.Fields() {
				if role, ok := f.Metadata.GetValue(pipeline.MetaRole); ok {
					skip++
					if role == pipeline.RoleTime { // date and time
						skip++
					}
				}
			}
			name := e.Batch.Table.Name
			r.rows[name] = append(r.rows[name], fmt.Sprintf("%d: %s", at, strings.Join(cells[skip:], " ")))
		}
		return nil
	}
	for at := 0; at < len(rows); at += size {
		end := min(at+size, len(rows))
		batch := &pipeline.Batch{Table: in, Record: rowtest.Record(mem, in.Schema, rows[at:end]...), Origin: pipeline.Origin{First: int64(at)}}
		if err := p.Process(t.Context(), batch, &r.acct, emit); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Flush(t.Context(), &r.acct, emit); err != nil {
		t.Fatal(err)
	}
	rejected := int64(0)
	for _, n := range r.acct.Rejected {
		rejected += n
	}
	if int64(len(rows)) != int64(out)+r.acct.Absorbed+r.acct.Filtered+rejected || rejected != int64(len(r.bad)) {
		t.Errorf("ledger: %d rows in, %d out, %d reported bad, %+v", len(rows), out, len(r.bad), r.acct)
	}
	return r
}

// check runs rows with batches of one row and of all, which must agree.
func check(t *testing.T, c *Config, in *pipeline.Table, want string, rows ...[]any) *result {
	t.Helper()
	b := bind(t, c, in)
	all := run(t, b, in, len(rows), nil, rows...)
	if got := all.String(); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if one := run(t, b, in, 1, nil, rows...); one.String() != all.String() || fmt.Sprint(one.acct.Noted) != fmt.Sprint(all.acct.Noted) || fmt.Sprint(one.bad) != fmt.Sprint(all.bad) {
		t.Errorf("batches of one row:\n%s%v %v\nof all:\n%s%v %v", one, one.acct, one.bad, all, all.acct, all.bad)
	}
	return all
}

func TestBuses(t *testing.T) {
	t.Run("38 two databases on two channels", func(t *testing.T) {
		c := settings(database("plain.dbc", onBus("one")), database("other.dbc", onBus("2")))
		c.Buses = rowtest.Map("one", "1")
		r := check(t, c, busTable, `can_2_engine: 1: 1 2 boost -269; 4: 1 0 off -273
can_any_unknown: 2: 3 256 0 3 3 AAEC 0
can_one_engine: 0: 128 1 on 3; 3: 0 9 null null
can_one_unknown: 5: 1 512 0 0 0  0
`, frame(0, 1, "100", "00 01 01 03"), frame(1, 2, "100", "00 01 02 04"), frame(2, 3, "100", "00 01 02"), frame(3, 1, "100", "00 00 09"),
			frame(4, 2, "100", "00 01 00 00"), frame(5, 1, "200", ""))
		if r.acct.Noted[noteUnknown] != 2 || r.acct.Noted[noteShort] != 1 {
			t.Error(r.acct.Noted)
		}
	})
	t.Run("channels without a name", func(t *testing.T) {
		check(t, settings(database("plain.dbc", nil)), busTable, "can_any_engine: 0: 1 128 1 on 3; 1: 7 0 0 off 0\n",
			frame(0, 1, "100", "00 01 01 03"), frame(1, 7, "100", "00 00 00 00"))
	})
	t.Run("25 remote and error frames", func(t *testing.T) {
		remote := frame(1, 1, "100", "00 01 01 03")
		remote[8] = 1
		bare := frame(2, 1, "100", "")
		bare[7] = nil
		r := check(t, settings(database("plain.dbc", onBus("1"))), busTable, "can_1_engine: 0: 128 1 on 3\ncan_1_unknown: 1: 1 256 0 4 4 AAEBAw== 1; 2: 1 256 0 0 0 null 0\n",
			frame(0, 1, "100", "00 01 01 03"), remote, bare)
		if r.acct.Noted[noteRaw] != 2 {
			t.Error(r.acct.Noted)
		}
		errors := *busTable
		errors.Name, errors.Attributes = "CAN_ErrorFrame", map[string]string{"frame_kind": "error"}
		b := bind(t, settings(database("plain.dbc", onBus("1"))), &errors)
		if got := run(t, b, &errors, 9, nil, frame(0, 1, "100", "00")).String(); !strings.HasPrefix(got, "CAN_ErrorFrame: 0: 1 256") {
			t.Error(got)
		}
	})
}

func TestValidity(t *testing.T) {
	at := func(i int) func(*Database) { return func(d *Database) { d.From = when(i) } }
	t.Run("databases follow each other", func(t *testing.T) {
		c := settings(database("plain.dbc", func(d *Database) { d.To = when(2) }), database("other.dbc", at(2)))
		// Speed is a double for both, the unit of Temp differs, State has a text
		// more.
		check(t, c, busTable, "can_any_engine: 0: 1 128 1 on 3 null; 1: 1 0 2 null 0 null; 2: 1 1 2 boost null -273; 3: 1 0 1 on null -273\n",
			frame(0, 1, "100", "00 01 01 03"), frame(1, 1, "100", "00 00 02 00"), frame(2, 1, "100", "00 01 02 00"), frame(3, 1, "100", "00 00 01 00"))
	})
	t.Run("attributes", func(t *testing.T) {
		c := settings(database("plain.dbc", func(d *Database) { d.When = rowtest.Map("vehicle_id", "v2") }), database("other.dbc", nil))
		a, b := frame(0, 1, "100", "00 01 01 03"), frame(1, 1, "100", "00 01 01 03")
		b[0] = "v2"
		check(t, c, busTable, "can_any_engine: 0: 1 1 1 on null -270; 1: 1 128 1 on 3 null\n", a, b)
	})
}

func TestGroups(t *testing.T) {
	t.Run("28 senders apart", func(t *testing.T) {
		check(t, settings(database("groups.dbc", onBus("1"))), busTable, `can_1_eec1: 0: 3 0 null 100; 1: 3 21 null 200; 2: 6 24 null 300
`, frame(0, 1, "x0CF00400", "FFFFFF 2003 FFFFFF"), frame(1, 1, "x0CF00415", "FFFFFF 4006 FFFFFF"), frame(2, 1, "x18F00418", "FFFFFF 6009 FFFFFF"))
	})
	t.Run("29 any destination", func(t *testing.T) {
		check(t, settings(database("groups.dbc", onBus("1"))), busTable, "can_1_tsc1: 0: 3 2 5 1; 1: 3 2 255 2\n",
			frame(0, 1, "x0C000502", "01"), frame(1, 1, "x0C00FF02", "02"))
	})
	t.Run("30 data page", func(t *testing.T) {
		c := settings(database("nmea.dbc", func(d *Database) { d.Bus, d.Protocol = rowtest.Text("1"), "nmea2000" }))
		check(t, c, busTable, "can_1_heading: 0: 3 35 null 258\n", frame(0, 1, "x0DF11923", "00 02 01"))
	})
	t.Run("31 standard identifiers beside groups", func(t *testing.T) {
		check(t, settings(database("groups.dbc", onBus("1"))), busTable, "can_1_classic: 0: 9\ncan_1_unknown: 1: 1 257 0 1 1 CQ== 0\n", frame(0, 1, "100", "09"), frame(1, 1, "101", "09"))
	})
}

func TestTransfers(t *testing.T) {
	bam := func(i int, source string, pgn string) [][]any {
		return [][]any{
			frame(i, 1, "x1CECFF"+source, "20 1400 03 FF "+pgn), frame(i+1, 1, "x1CEBFF"+source, "01 05000000000000"),
			frame(i+2, 1, "x1CEBFF"+source, "02 00000000000000"), frame(i+3, 1, "x1CEBFF"+source, "03 00000000000 7 FF"),
		}
	}
	t.Run("33 broadcasts", func(t *testing.T) {
		rows := bam(0, "0A", "CAFE00")
		rows = append(rows, frame(4, 1, "x18FECA0B", "09"))
		r := check(t, settings(database("groups.dbc", onBus("1"))), busTable,
			"can_1_dm1: 3: 7 10 255 1970-01-01 00:01:40Z 5 7; 4: 6 11 null null 9 null\n", rows...)
		if r.acct.Absorbed != 3 {
			t.Errorf("%+v", r.acct)
		}
	})
	t.Run("of a group without entry, and without beginning", func(t *testing.T) {
		rows := append(bam(0, "0A", "E3FE00"), frame(4, 1, "x1CEBFF0C", "03 00"))
		r := check(t, settings(database("groups.dbc", onBus("1"))), busTable, `can_1_unknown: 0: 1 485293834 1 8 8 IBQAA//j/gA= 0; 1: 1 485228298 1 8 8 AQUAAAAAAAA= 0; 2: 1 485228298 1 8 8 AgAAAAAAAAA= 0; 3: 1 485228298 1 8 8 AwAAAAAAB/8= 0; 4: 1 485228300 1 2 2 AwA= 0
`, rows...)
		if r.acct.Absorbed != 0 {
			t.Errorf("%+v", r.acct)
		}
	})
	t.Run("incomplete", func(t *testing.T) {
		rows := append(bam(0, "0A", "CAFE00")[:2], bam(2, "0B", "CAFE00")[:3]...)
		rows = append(rows, frame(5, 1, "x1CEBFF0A", "03 00"))
		c := settings(database("groups.dbc", onBus("1")))
		r := check(t, c, busTable, "", rows...)
		if got := strings.Join(r.bad, " "); got != "CAN_DataFrame@0 incomplete_transfer CAN_DataFrame@1 incomplete_transfer CAN_DataFrame@5 incomplete_transfer CAN_DataFrame@2 incomplete_transfer CAN_DataFrame@3 incomplete_transfer CAN_DataFrame@4 incomplete_transfer" {
			t.Error(got)
		}
		if r.acct.Noted[noteBroken] != 2 {
			t.Error(r.acct.Noted)
		}
		c.Broken = "drop"
		if r = check(t, c, busTable, "", rows...); r.acct.Filtered != 6 {
			t.Errorf("%+v", r.acct)
		}
	})
}

// Messages and signals that are not wanted are left out.
func TestWanted(t *testing.T) {
	c := settings(database("plain.dbc", onBus("1")), database("groups.dbc", onBus("1")))
	c.Messages, c.Signals = rowtest.Texts("Eng*", "EEC1"), rowtest.Texts("St*", "RPM")
	r := check(t, c, busTable, "can_1_eec1: 1: 3 0 null 100\ncan_1_engine: 0: 1 on\n", frame(0, 1, "100", "00 01 01 03"),
		frame(1, 1, "x0CF00400", "FFFFFF 2003 FFFFFF"), frame(2, 1, "x0C000502", "01"), frame(3, 1, "7ff", "01"), frame(4, 2, "100", "00 01 01 03"))
	if r.acct.Filtered != 3 {
		t.Errorf("%+v", r.acct)
	}
	c.Signals = rowtest.Texts("Sped")
	if _, err := Spec().New(t.Context(), c, env{files: files}); err == nil || !strings.Contains(err.Error(), "did you mean Speed?") {
		t.Error(err)
	}
}

// Columns that nobody looks at are null; the others are the same.
func TestNeeded(t *testing.T) {
	b := bind(t, settings(database("plain.dbc", onBus("1"))), busTable)
	needed := func(table *pipeline.Table) []bool {
		need := make([]bool, table.Schema.NumFields())
		for i, f := range table.Schema.Fields() {
			need[i] = f.Name == "Temp"
		}
		return need
	}
	r := run(t, b, busTable, 9, needed, frame(0, 1, "100", "00 01 01 03"), frame(1, 1, "100", "00 01 01"))
	if got := r.String(); got != "can_1_engine: 0: null null null 3; 1: null null null null\n" {
		t.Error(got)
	}
}

// Frames read back from a lake: wider integers, bytes as lists of integers.
func TestColumns(t *testing.T) {
	lists := rowtest.Table("frames", rowtest.F("can", arrow.Int64Type), rowtest.F("is_extended", arrow.BoolType), rowtest.F("dlc", arrow.Int32Type), rowtest.F("data", arrow.ListOf(arrow.Int32Type)), rowtest.F("keep_me", arrow.StringType))
	bytes := func(b ...int) []any {
		var out []any
		for _, v := range b {
			out = append(out, v)
		}
		return out
	}
	c := settings(database("plain.dbc", nil))
	c.Columns.ID = rowtest.Text("can")
	c.Keep = rowtest.Texts("keep_me")
	check(t, c, lists, "can_frames_engine: 0: a 128 1 on 3; 1: b 128 null null null\n",
		[]any{256, false, 4, bytes(0, 1, 1, 3), "a"}, []any{256, nil, 2, bytes(0, 1, 1, 3), "b"})
	fixed := rowtest.Table("/can0", rowtest.F("id", arrow.Uint32Type), rowtest.F("dlc", arrow.Uint8Type), rowtest.F("data", arrow.FixedSizeListOf(64, arrow.Uint8Type)))
	row := make([]any, 64)
	for i := range row {
		row[i] = 0
	}
	row[31] = 5
	t.Run("26 length codes", func(t *testing.T) {
		files["fd.dbc"] = "BA_DEF_ \"BusType\" STRING ;\nBA_DEF_DEF_ \"BusType\" \"CAN FD\";\nBO_ 1 M: 64 X\n SG_ A : 248|8@1+ (1,0) [0|0] \"\" X\n SG_ B : 256|8@1+ (1,0) [0|0] \"\" X\n"
		check(t, settings(database("fd.dbc", nil)), fixed, "can_can0_m: 0: 5 null; 1: 5 0; 2: null null\n", []any{1, 13, row}, []any{1, 15, row}, []any{1, 8, row})
	})
	st, err := Spec().New(t.Context(), settings(database("plain.dbc", nil)), env{files: files})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.Bind([]*pipeline.Table{lists}); err == nil || !strings.Contains(err.Error(), "no column with the identifier") {
		t.Error(err)
	}
}

func TestMistakes(t *testing.T) {
	files["arxml.dbc"] = "<AUTOSAR>"
	files["empty.dbc"] = "VERSION \"\"\n"
	c := settings(database("missing.dbc", nil), database("arxml.dbc", nil), database("empty.dbc", nil), database("plain.dbc", onBus("to")),
		database("plain.dbc", func(d *Database) { d.From, d.To = when(1), when(1) }))
	c.Buses = rowtest.Map("tow", "1")
	_, err := Spec().New(t.Context(), c, env{files: files})
	for _, want := range []string{"no file at missing.dbc", "AUTOSAR", "no message", "did you mean tow?", "valid for no time"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nwant %q", err, want)
		}
	}
	if _, err := Spec().New(t.Context(), settings(database("plain.dbc", nil)), env{}); err != pipeline.ErrNotLoaded {
		t.Error(err)
	}
	var warnings []string
	files["odd.dbc"] = plain + "FOO 1;\n"
	if _, err := Spec().New(t.Context(), settings(database("odd.dbc", nil)), env{files, &warnings}); err != nil || len(warnings) != 1 || !strings.HasPrefix(warnings[0], "odd.dbc:6:1: ") {
		t.Error(err, warnings)
	}
}

// Tables of other buses are no CAN data, frames without an entry keep their
// columns where tables differ, and a pattern that fits nothing is told.
func TestOtherTables(t *testing.T) {
	lin := rowtest.Table("LIN_Frame", rowtest.F("id", arrow.Uint8Type), rowtest.F("data_bytes", arrow.BinaryType))
	lin.Attributes = map[string]string{"bus": "lin", "frame_kind": "data"}
	failed := rowtest.Table("CAN_ErrorFrame", rowtest.F("bus_channel", arrow.Uint8Type))
	failed.Attributes = map[string]string{"bus": "can", "frame_kind": "error"}
	fd := rowtest.Table("CAN1/Rx FD", rowtest.F("bus_channel", arrow.Uint8Type), rowtest.F("id", arrow.Uint32Type), rowtest.F("data_bytes", arrow.BinaryType))
	b := bind(t, settings(database("plain.dbc", nil)), lin, failed, busTable, fd)
	var names []string
	for _, o := range b.Outputs {
		names = append(names, o.Table.Name)
	}
	if got := strings.Join(names, " "); got != "LIN_Frame CAN_ErrorFrame can_any_engine can_any_unknown can_any_engine can_any_unknown_can1_rx_fd" {
		t.Error(got)
	}
	r := run(t, b, lin, 1, nil, []any{1, "ab"}, []any{0x100, "cd"})
	if r.acct.Noted[noteUnknown] != 0 || len(r.rows["LIN_Frame"]) != 2 || len(r.rows) != 1 {
		t.Errorf("%v %+v", r, r.acct)
	}

	var warnings []string
	c := settings(database("plain.dbc", onBus("body")))
	c.Buses.Entries = append(c.Buses.Entries, pipeline.Entry[pipeline.Text]{Key: rowtest.Text("body"), Value: rowtest.Text("/can/bdy")})
	st, err := Spec().New(t.Context(), c, env{files, &warnings})
	if err != nil {
		t.Fatal(err)
	}
	topic := rowtest.Table("/can/body", rowtest.F("id", arrow.Uint32Type), rowtest.F("data", arrow.BinaryType))
	if _, err := st.Bind([]*pipeline.Table{topic}); err != nil {
		t.Fatal(err)
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], `no table fits "/can/bdy"`) || !strings.Contains(warnings[0], "/can/body") {
		t.Error(warnings)
	}
	warnings = nil
	c.Buses.Entries[0].Value = rowtest.Text("/can/body")
	c.Buses.Entries = append(c.Buses.Entries, pipeline.Entry[pipeline.Text]{Key: rowtest.Text("truck"), Value: rowtest.Text("/can/truck")})
	if st, err = Spec().New(t.Context(), c, env{files, &warnings}); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Bind([]*pipeline.Table{topic}); err != nil || len(warnings) > 0 {
		t.Error(err, warnings)
	}
}

const diagnostics = `BO_ 2024 Answer: 62 X
 SG_ Service : 15|8@0+ (1,0) [0|0] "" X
 SG_ Last : 79|8@0+ (1,0) [0|0] "" X
`

// What several frames carry, by the three ways of sending it.
func TestProtocols(t *testing.T) {
	files["answers.dbc"] = strings.NewReplacer("15|8", "7|8", "79|8", "71|8").Replace(diagnostics)
	files["counted.dbc"] = diagnostics
	files["position.dbc"] = "BO_ 2583168510 Position: 20 X\n SG_ First : 0|8@1+ (1,0) [0|0] \"\" X\n SG_ Last : 152|8@1+ (1,0) [0|0] \"\" X\n"
	answer := [][]any{frame(0, 1, "7E8", "10 09 62 01 02 03 04 05"), frame(1, 1, "7E0", "30 00 00"), frame(2, 1, "7E8", "21 06 07 08"), frame(3, 1, "7E8", "02 7F 10 AA AA AA AA AA")}
	t.Run("34 a connection seen from outside", func(t *testing.T) {
		rows := [][]any{frame(0, 1, "x1CEC0A01", "10 1400 03 FF CAFE00"), frame(1, 1, "x1CEC010A", "11 03 01 FFFF CAFE00"),
			frame(2, 1, "x1CEB0A01", "01 05000000000000"), frame(3, 1, "x1CEB0A01", "02 00000000000000"), frame(4, 1, "x1CEB0A01", "03 000000000007FF"),
			frame(5, 1, "x1CEC010A", "13 1400 03 FF CAFE00")}
		r := check(t, settings(database("groups.dbc", onBus("1"))), busTable,
			"can_1_dm1: 4: 7 1 10 1970-01-01 00:01:40Z 5 7\ncan_1_unknown: 5: 1 485228810 1 8 8 ExQAA//K/gA= 0\n", rows...)
		if r.acct.Absorbed != 4 {
			t.Errorf("%+v", r.acct)
		}
	})
	t.Run("35 diagnostic answers", func(t *testing.T) {
		r := check(t, settings(database("answers.dbc", onBus("1"))), busTable,
			"can_1_answer: 2: 1970-01-01 00:01:40Z 98 8; 3: null 127 null\ncan_1_unknown: 1: 1 2016 0 3 3 MAAA 0\n", answer...)
		if r.acct.Absorbed != 1 {
			t.Errorf("%+v", r.acct)
		}
	})
	t.Run("35 with a byte of the length in front", func(t *testing.T) {
		check(t, settings(database("counted.dbc", func(d *Database) { d.Bus, d.UDSLength = rowtest.Text("1"), true })), busTable,
			"can_1_answer: 2: 1970-01-01 00:01:40Z 98 8; 3: null 127 null\ncan_1_unknown: 1: 1 2016 0 3 3 MAAA 0\n", answer...)
	})
	t.Run("33 fast packets", func(t *testing.T) {
		rows := [][]any{frame(0, 1, "x19F80523", "40 14 01 02 03 04 05 06"), frame(1, 1, "x19F80524", "40 14 09 02 03 04 05 06"),
			frame(2, 1, "x19F80523", "41 07 08 09 0A 0B 0C 0D"), frame(3, 1, "x19F80523", "42 0E 0F 10 11 12 13 14")}
		r := check(t, settings(database("position.dbc", func(d *Database) { d.Bus, d.Protocol = rowtest.Text("1"), "nmea2000" })), busTable,
			"can_1_position: 3: 6 35 null 1970-01-01 00:01:40Z 1 20\n", rows...)
		if len(r.bad) != 1 || r.acct.Absorbed != 2 {
			t.Errorf("%v %+v", r.bad, r.acct)
		}
	})
}
