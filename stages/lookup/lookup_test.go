package lookup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/stages/internal/rowtest"
)

// env serves one table; nil stands for validation.
type env struct{ side *pipeline.SideTable }

func (env) OpenStore(context.Context, string) (pipeline.Store, error) {
	return nil, errors.New("no store here")
}

func (e env) LoadTable(_ context.Context, uri pipeline.Text) (*pipeline.SideTable, error) {
	switch {
	case e.side == nil:
		return nil, pipeline.ErrNotLoaded
	case uri.Value != "vehicles.csv":
		return nil, fmt.Errorf("%s: %w", uri, pipeline.ErrNotFound)
	}
	return e.side, nil
}

func (env) LoadFile(context.Context, pipeline.Text) (*pipeline.SideFile, error) {
	return nil, pipeline.ErrNotLoaded
}

func (env) Warn(*pipeline.Issue) {}

// vehicles as a CSV gives them: all texts.
func vehicles(rows ...[]any) *pipeline.SideTable {
	t := rowtest.Table("vehicles", rowtest.F("id", arrow.StringType), rowtest.F("fleet", arrow.StringType),
		rowtest.F("model", arrow.StringType), rowtest.F("seats", arrow.StringType, pipeline.MetaUnit, "1", pipeline.MetaRole, pipeline.RoleAttribute))
	return &pipeline.SideTable{URI: "file:///vehicles.csv", Table: t, Record: rowtest.Record(arrow.NewGoAllocator(), t.Schema, rows...)}
}

var table = rowtest.Table("/odom", rowtest.F("vehicle_id", arrow.LabelType), rowtest.F("fleet_id", arrow.Uint16Type), rowtest.F("x", arrow.Float64Type))

func config(change func(*Config)) *Config {
	c := &Config{Table: rowtest.Text("vehicles.csv"), On: rowtest.Map("vehicle_id", "id"), Columns: rowtest.Texts("model", "seats"),
		Prefix: "v_", Missing: "keep", Duplicates: "error", Types: rowtest.Map("model", "string", "seats", "int8")}
	if change != nil {
		change(c)
	}
	return c
}

func bind(side *pipeline.SideTable, c *Config) (*pipeline.Binding, error) {
	st, err := Spec().New(context.Background(), c, env{side})
	if err != nil {
		return nil, err
	}
	return st.Bind([]*pipeline.Table{table})
}

func TestLookup(t *testing.T) {
	side := vehicles([]any{"kit", "1", "E-Golf", "5"}, []any{"vw", "2", "ID.3", nil}, []any{nil, "1", "none", "1"}, []any{"x", nil, "none", "2"})
	rows := [][]any{{"vw", 2, 0.5}, {"kit", 1, 1.5}, {"bmw", 1, 2.5}, {nil, 1, 3.5}, {"vw", 1, 4.5}, {"x", nil, 5.5}}
	two := func(missing string) func(*Config) {
		return func(c *Config) {
			c.On = rowtest.Map("vehicle_id", "id", "fleet_id", "fleet")
			c.Types = rowtest.Map("model", "string", "seats", "int8", "fleet", "int64")
			c.Missing, c.Columns, c.Prefix = missing, nil, ""
		}
	}
	for _, c := range []struct {
		name     string
		change   func(*Config)
		rows     string
		records  []int64
		filtered int64
		bad      []string
	}{
		{"one key", nil, "vw 2 0.5 ID.3 null\nkit 1 1.5 E-Golf 5\nbmw 1 2.5 null null\nnull 1 3.5 null null\nvw 1 4.5 ID.3 null\nx null 5.5 none 2\n", []int64{100, 101, 102, 103, 104, 105}, 0, nil},
		{"two keys", two("keep"), "vw 2 0.5 ID.3 null\nkit 1 1.5 E-Golf 5\nbmw 1 2.5 null null\nnull 1 3.5 null null\nvw 1 4.5 null null\nx null 5.5 null null\n", []int64{100, 101, 102, 103, 104, 105}, 0, nil},
		{"dropped", two("drop"), "vw 2 0.5 ID.3 null\nkit 1 1.5 E-Golf 5\n", []int64{100, 101}, 4, nil},
		{"rejected", two("reject"), "vw 2 0.5 ID.3 null\nkit 1 1.5 E-Golf 5\n", []int64{100, 101}, 0,
			[]string{"/odom@102 vehicle_id lookup_missing", "/odom@103 vehicle_id lookup_missing", "/odom@104 vehicle_id lookup_missing", "/odom@105 vehicle_id lookup_missing"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
			defer mem.AssertSize(t, 0)
			b, err := bind(side, config(c.change))
			if err != nil {
				t.Fatal(err)
			}
			r := rowtest.Run(t, mem, b, table, rowtest.Record(mem, table.Schema, rows...))
			if r.Rows != c.rows || !slices.Equal(r.Records, c.records) || r.Account.Filtered != c.filtered || !slices.Equal(r.Bad, c.bad) {
				t.Errorf("%+v\nwant %+v", r, c)
			}
		})
	}
}

func TestEmptyTable(t *testing.T) {
	mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	b, err := bind(vehicles(), config(nil))
	if err != nil {
		t.Fatal(err)
	}
	r := rowtest.Run(t, mem, b, table, rowtest.Record(mem, table.Schema, []any{"vw", 2, 0.5}))
	if r.Rows != "vw 2 0.5 null null\n" {
		t.Errorf("rows %q", r.Rows)
	}
}

func TestLineage(t *testing.T) {
	b, err := bind(vehicles(), config(nil))
	if err != nil {
		t.Fatal(err)
	}
	want := "vehicle_id <- vehicle_id =\nfleet_id <- fleet_id =\nx <- x =\nv_model <- file:///vehicles.csv#model =\nv_seats <- file:///vehicles.csv#seats =\nJOIN vehicle_id\nJOIN file:///vehicles.csv#id\n"
	if got := rowtest.Lineage(b.Outputs[0]); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	m := b.Outputs[0].Table.Schema.Field(4).Metadata
	unit, _ := m.GetValue(pipeline.MetaUnit)
	if _, role := m.GetValue(pipeline.MetaRole); unit != "1" || role {
		t.Errorf("metadata %v", m)
	}
}

// Without its table a lookup binds as far as its types are declared.
func TestValidation(t *testing.T) {
	loaded, err := bind(vehicles(), config(nil))
	if err != nil {
		t.Fatal(err)
	}
	b, err := bind(nil, config(nil))
	if err != nil {
		t.Fatal(err)
	}
	got, want := b.Outputs[0].Table.Schema, loaded.Outputs[0].Table.Schema
	for i, f := range want.Fields() {
		if got.Field(i).Name != f.Name || !arrow.TypeEqual(got.Field(i).Type, f.Type) {
			t.Errorf("column %d is %s, when loaded %s", i, got.Field(i), f)
		}
	}
	if _, err := b.Open(pipeline.ProcessOptions{}); !errors.Is(err, pipeline.ErrNotLoaded) {
		t.Errorf("opened without a table: %v", err)
	}
	for _, change := range []func(*Config){
		func(c *Config) { c.Types = rowtest.Map("model", "string") },
		func(c *Config) { c.Columns = nil },
	} {
		if _, err := bind(nil, config(change)); !errors.Is(err, pipeline.ErrNotLoaded) {
			t.Errorf("unknown columns: %v", err)
		}
	}
}

func TestMistakes(t *testing.T) {
	const at = "p.yaml:7:20: stages.x: "
	side := vehicles([]any{"kit", "1", "E-Golf", "5"}, []any{"vw", "2", "ID.3", "x"}, []any{"kit", "3", "Polo", "4"})
	for _, c := range []struct {
		name   string
		side   *pipeline.SideTable
		change func(*Config)
		want   string
	}{
		{"duplicate", side, func(c *Config) { c.Types = rowtest.Map() }, at + "rows 1 and 3 of file:///vehicles.csv have the same key, id kit; duplicates: first takes the first"},
		{"cast", side, nil, at + `row 2 of file:///vehicles.csv: "x" in column seats does not cast to int8 (cast_invalid)`},
		{"left column", nil, func(c *Config) { c.On, c.Columns = rowtest.Map("vehicle", "id", "fleet_ids", "fleet"), nil },
			at + `unknown column "vehicle"` + "\n" + at + `unknown column "fleet_ids" (did you mean fleet_id?)`},
		{"right column", side, func(c *Config) { c.Types, c.Columns = rowtest.Map(), rowtest.Texts("modell") }, at + `file:///vehicles.csv has no column "modell" (did you mean model?)`},
		{"types of keys", side, func(c *Config) { c.Types, c.On = rowtest.Map(), rowtest.Map("fleet_id", "fleet") }, at + "cannot match fleet_id (uint16) with fleet (string)"},
		{"types of keys unloaded", nil, func(c *Config) { c.Types = rowtest.Map("model", "string", "seats", "int8", "id", "int32") }, at + "cannot match vehicle_id (string) with id (int32)"},
		{"float key", nil, func(c *Config) { c.On = rowtest.Map("x", "id") }, at + "float64 cannot be a key"},
		{"unknown type", nil, func(c *Config) { c.Types = rowtest.Map("seats", "int88") }, at + `unknown type "int88" (did you mean int8?)`},
		{"same name", nil, func(c *Config) {
			c.Prefix, c.Columns, c.Types = "", rowtest.Texts("x"), rowtest.Map("x", "int8")
		}, at + `column "x" would be there twice; prefix sets added columns apart`},
		{"no key", nil, func(c *Config) { c.On = rowtest.Map() }, at + "on names no key column"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := bind(c.side, config(c.change)); err == nil || err.Error() != c.want {
				t.Errorf("%v\nwant %s", err, c.want)
			}
		})
	}
	if _, err := bind(side, config(func(c *Config) { c.Table = rowtest.Text("other.csv") })); !errors.Is(err, pipeline.ErrNotFound) {
		t.Errorf("missing table: %v", err)
	}
	if _, err := bind(side, config(func(c *Config) { c.Types, c.Duplicates = rowtest.Map(), "first" })); err != nil {
		t.Errorf("first of two: %v", err)
	}
}

// Every pair of key types agrees with a nested loop over values.
func TestAgreesWithNestedLoop(t *testing.T) {
	kinds := [][]arrow.DataType{
		{arrow.Int8Type, arrow.Int64Type, arrow.Uint8Type, arrow.Uint64Type}, {arrow.StringType, arrow.LabelType},
		{arrow.BoolType}, {arrow.TimeType}, {arrow.Date32Type},
	}
	rapid.Check(t, func(t *rapid.T) {
		mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
		defer mem.AssertSize(t, 0)
		var left, right []arrow.Field
		var on []string
		for k := range rapid.IntRange(1, 2).Draw(t, "keys") {
			types := rapid.SampledFrom(kinds).Draw(t, "kind")
			name := fmt.Sprintf("k%d", k)
			left = append(left, rowtest.F("l"+name, rapid.SampledFrom(types).Draw(t, "left")))
			right = append(right, rowtest.F("r"+name, rapid.SampledFrom(types).Draw(t, "right")))
			on = append(on, "l"+name, "r"+name)
		}
		n := len(left)
		right = append(right, rowtest.F("value", arrow.Int64Type))
		lt, rt := rowtest.Table("left", left...), rowtest.Table("right", right...)
		draw := func(fields []arrow.Field, rows int) [][]any {
			out := make([][]any, rows)
			for i := range out {
				for _, f := range fields {
					out[i] = append(out[i], drawKey(t, f.Type))
				}
			}
			return out
		}
		rrows := draw(right[:n], rapid.IntRange(0, 12).Draw(t, "table"))
		for i := range rrows {
			rrows[i] = append(rrows[i], i)
		}
		lrows := draw(left, rapid.IntRange(1, 12).Draw(t, "rows"))
		side := &pipeline.SideTable{URI: "t", Table: rt, Record: rowtest.Record(mem, rt.Schema, rrows...)}
		defer side.Record.Release()
		st, err := Spec().New(context.Background(), &Config{Table: rowtest.Text("vehicles.csv"), On: rowtest.Map(on...), Duplicates: "first"}, env{side})
		if err != nil {
			t.Fatal(err)
		}
		b, err := st.Bind([]*pipeline.Table{lt})
		if err != nil {
			t.Fatal(err)
		}
		p, err := b.Open(pipeline.ProcessOptions{Allocator: mem})
		if err != nil {
			t.Fatal(err)
		}
		// Twice, because a probe is used again.
		for range 2 {
			rec := rowtest.Record(mem, lt.Schema, lrows...)
			err = p.Process(context.Background(), &pipeline.Batch{Table: lt, Record: rec}, new(pipeline.Account), func(e pipeline.Element) error {
				defer e.Batch.Release()
				got := e.Batch.Record.Column(n)
				for i, l := range lrows {
					want := "(null)"
					for j, r := range rrows {
						if slices.Equal(l, r[:n]) && !slices.Contains(l, nil) {
							want = fmt.Sprint(j)
							break
						}
					}
					if s := got.ValueStr(i); s != want {
						t.Fatalf("row %v found %s, want %s", l, s, want)
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	})
}

func drawKey(t *rapid.T, dt arrow.DataType) any {
	if rapid.IntRange(0, 4).Draw(t, "null") == 0 {
		return nil
	}
	switch keyKindOf(dt) {
	case boolKey:
		return rapid.Bool().Draw(t, "bool")
	case textKey:
		return rapid.SampledFrom([]string{"", "a", "b", "ab"}).Draw(t, "text")
	}
	switch dt.ID() {
	case arrow.UINT8:
		return rapid.SampledFrom([]int{0, 1, 100, 255}).Draw(t, "int")
	case arrow.UINT64:
		if rapid.Bool().Draw(t, "large") {
			return ^uint64(0)
		}
		return rapid.SampledFrom([]int{0, 1, 100, 255}).Draw(t, "int")
	case arrow.INT8:
		return rapid.SampledFrom([]int{0, 1, 100, -1}).Draw(t, "int")
	}
	return rapid.SampledFrom([]int{0, 1, 100, -1, 255}).Draw(t, "int")
}

func BenchmarkLookup(b *testing.B) {
	mem := arrow.NewGoAllocator()
	const n = 64 << 10
	for _, key := range []arrow.DataType{arrow.LabelType, arrow.StringType, arrow.Int64Type} {
		b.Run(strings.Split(key.String(), "<")[0], func(b *testing.B) {
			val := func(i int) any {
				if key.ID() == arrow.INT64 {
					return i % 1000
				}
				return fmt.Sprint("vehicle-", i%1000)
			}
			right := arrow.StringType
			if key.ID() == arrow.INT64 {
				right = key
			}
			rt := rowtest.Table("r", rowtest.F("id", right), rowtest.F("value", arrow.Int64Type))
			lt := rowtest.Table("l", rowtest.F("id", key))
			var lrows, rrows [][]any
			for i := range n {
				lrows = append(lrows, []any{val(i * 7919)})
			}
			for i := range 900 {
				rrows = append(rrows, []any{val(i), i})
			}
			side := &pipeline.SideTable{URI: "t", Table: rt, Record: rowtest.Record(mem, rt.Schema, rrows...)}
			st, err := Spec().New(context.Background(), &Config{Table: rowtest.Text("vehicles.csv"), On: rowtest.Map("id", "id"), Missing: "drop", Prefix: "v_"}, env{side})
			if err != nil {
				b.Fatal(err)
			}
			bound, err := st.Bind([]*pipeline.Table{lt})
			if err != nil {
				b.Fatal(err)
			}
			p, err := bound.Open(pipeline.ProcessOptions{Allocator: mem})
			if err != nil {
				b.Fatal(err)
			}
			rec := rowtest.Record(mem, lt.Schema, lrows...)
			b.ReportAllocs()
			for b.Loop() {
				rec.Retain()
				err := p.Process(context.Background(), &pipeline.Batch{Table: lt, Record: rec}, new(pipeline.Account), func(e pipeline.Element) error {
					if e.Batch.Rows() < n*8/10 {
						b.Fatalf("%d rows", e.Batch.Rows())
					}
					e.Batch.Release()
					return nil
				})
				if err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/row")
		})
	}
}
