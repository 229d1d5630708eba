package parquet

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
	"github.com/drivemill/drivemill/pipeline/spill"
)

// Thousands of small tables wait in little memory and are encoded one by one.
func TestSinkManyTables(t *testing.T) {
	mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	const n = 5000
	rec := driveRecord(t, mem, 1)
	defer rec.Release()
	tables := make([]*pipeline.Table, n)
	for i := range tables {
		tables[i] = &pipeline.Table{Name: fmt.Sprintf("/t%d", i), Schema: rec.Schema()}
	}
	u := openUnit(t, testConfig(), mem, 2, nil, tables...)
	var before, peak runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for _, tab := range tables {
		u.write(t, tab, rec, 1)
	}
	if held := mem.CurrentAlloc(); held > n*4096 {
		t.Errorf("%d bytes wait in %d tables", held, n)
	}
	u.finish(t)
	runtime.GC()
	runtime.ReadMemStats(&peak)
	encoded := int64(0)
	for _, f := range u.files {
		if f.Rows != 1 {
			t.Fatalf("%s has %d rows", f.Key, f.Rows)
		}
		encoded += f.Bytes
	}
	if len(u.files) != n || len(u.store.visible) != n {
		t.Fatalf("%d files, %d visible", len(u.files), len(u.store.visible))
	}
	// The store keeps the files, in buffers that grow by doubling.
	if grown := int64(peak.HeapAlloc) - int64(before.HeapAlloc); grown > 3*encoded+64<<20 {
		t.Errorf("%d MiB of heap for %d MiB of files", grown>>20, encoded>>20)
	}
}

// The bytes of a unit depend on nothing but its rows.
func TestSinkDeterminism(t *testing.T) {
	mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	rec := driveRecord(t, mem, 3000)
	defer rec.Release()
	table := &pipeline.Table{Name: "/sensors/Fix", Schema: rec.Schema()}
	cfg := testConfig()
	cfg.RowGroupRows, cfg.RowGroupBytes, cfg.FileBytes = 200, 9_000, 500
	cfg.Partition = []pipeline.Text{{Value: "drive_date"}, {Value: "frame_id"}}
	var want map[string][]byte
	var files []pipeline.File
	space := spill.NewSpace(t.TempDir(), 0)
	for _, run := range []struct {
		batch, workers int
		memory         int64
	}{{3000, 1, 0}, {1, 1, 0}, {64, 4, 0}, {1500, 8, 0}, {2999, 2, 0}, {1, 1, 1}, {7, 3, 2000}, {1500, 2, 9000}} {
		u := openUnitWith(t, cfg, pipeline.SinkOptions{Allocator: mem, Workers: run.workers, Memory: run.memory, Spill: space}, table)
		u.write(t, table, rec, run.batch)
		u.finish(t)
		if want == nil {
			want, files = u.store.visible, u.files
			if len(want) < 6 {
				t.Fatalf("only %d files", len(want))
			}
			continue
		}
		if !reflect.DeepEqual(u.files, files) {
			t.Fatalf("%+v: files\n%v\nwant\n%v", run, u.files, files)
		}
		for k, v := range want {
			if !bytes.Equal(u.store.visible[k], v) {
				t.Fatalf("%+v: %s differs", run, k)
			}
		}
	}
	rows := int64(0)
	seen := make(map[string]int)
	for _, f := range files {
		data := want[f.Key]
		sum := sha256.Sum256(data)
		if f.SHA256 != hex.EncodeToString(sum[:]) || f.Bytes != int64(len(data)) {
			t.Errorf("%s: size or checksum is wrong", f.Key)
		}
		prefix := "sensors_fix/drive_date=2026-03-02/frame_id=" + escape(f.Partition["frame_id"]) + "/slot-r1-"
		part := seen[f.Partition["frame_id"]]
		seen[f.Partition["frame_id"]]++
		if f.Key != fmt.Sprintf("%s%05d.parquet", prefix, part) || f.Table != "sensors_fix" {
			t.Errorf("part %d is called %s", part, f.Key)
		}
		tab, got := readAll(t, mem, data, pipeline.Selection{}, pipeline.DecodeOptions{})
		if int64(len(got)) != f.Rows {
			t.Errorf("%s: %d rows, %d in its footer", f.Key, len(got), f.Rows)
		}
		rows += f.Rows
		if got := tab.ColumnNames(); !slices.Equal(got, []string{"vehicle_id", "recording_id", "ts", "ts_ns", "log_time_ns", "pose_x"}) {
			t.Errorf("columns %v", got)
		}
	}
	if rows != 3000 {
		t.Errorf("%d rows in all", rows)
	}
	if space.Total() < 100_000 {
		t.Errorf("only %d bytes were spilled", space.Total())
	}
	if len(seen) != 3 || seen[noValue] == 0 || seen["a b/c=d"] == 0 {
		t.Errorf("partitions %v", seen)
	}
}

func TestSinkFooter(t *testing.T) {
	mem := arrow.NewGoAllocator()
	rec := driveRecord(t, mem, 100)
	table := &pipeline.Table{Name: "/fix", Schema: rec.Schema(), Attributes: map[string]string{"type": "sensor_msgs/NavSatFix"}}
	u := openUnit(t, testConfig(), mem, 1, nil, table)
	u.write(t, table, rec, 100)
	u.finish(t)
	meta, _, err := parseFooter(u.store.visible[u.files[0].Key])
	if err != nil {
		t.Fatal(err)
	}
	if meta.CreatedBy != "drivemill" {
		t.Errorf("created by %q", meta.CreatedBy)
	}
	g := meta.RowGroups[0]
	var sorted []string
	for _, s := range g.SortingColumns {
		sorted = append(sorted, g.Columns[s.ColumnIdx].MetaData.PathInSchema[0])
	}
	if !slices.Equal(sorted, []string{"recording_id", "ts"}) {
		t.Errorf("sorted by %v", sorted)
	}
	for _, c := range g.Columns {
		if c.ColumnIndexLength == 0 || c.OffsetIndexLength == 0 {
			t.Errorf("column %v has no page index", c.MetaData.PathInSchema)
		}
		if s := c.MetaData.Statistics; s.MinValue == nil || s.MaxValue == nil {
			t.Errorf("column %v has no statistics", c.MetaData.PathInSchema)
		}
	}
	var about fileMeta
	for _, kv := range meta.KeyValueMetadata {
		if kv.Key == metaKey {
			if err := json.Unmarshal([]byte(kv.Value), &about); err != nil {
				t.Fatal(err)
			}
		}
	}
	if about.Table != "/fix" || about.Attributes["type"] != "sensor_msgs/NavSatFix" {
		t.Errorf("file describes itself as %+v", about)
	}
	i := slices.IndexFunc(about.Columns, func(c columnMeta) bool { return c.Name == "pose_x" })
	if want := (columnMeta{Name: "pose_x", Source: "pose.x", Type: "float64", Unit: "m"}); i < 0 || about.Columns[i] != want {
		t.Errorf("columns %+v", about.Columns)
	}
}

func TestSinkBind(t *testing.T) {
	mem := arrow.NewGoAllocator()
	schema := driveRecord(t, mem, 1).Schema()
	a, b := &pipeline.Table{Name: "/a", Schema: schema}, &pipeline.Table{Name: "/a", Alias: "/A", Schema: schema}
	cfg := testConfig()
	u := openUnit(t, cfg, mem, 1, nil, a, &pipeline.Table{Name: "/other", Alias: "/a", Schema: schema}, b)
	names := []string{u.binding.Tables[0].Name, u.binding.Tables[1].Name}
	if len(u.binding.Tables) != 2 || names[0] != "a" || names[1] != "a_"+shortHash("/A") {
		t.Errorf("tables %v", names)
	}
	if n := len(u.binding.Tables[0].Inputs); n != 2 {
		t.Errorf("%d inputs feed the first table", n)
	}
	st := u.binding.Tables[0]
	if len(st.Columns) != st.Schema.NumFields() {
		t.Fatalf("%d derivations for %d columns", len(st.Columns), st.Schema.NumFields())
	}
	for i, f := range st.Schema.Fields() {
		d := st.Columns[i]
		switch f.Name {
		case "ts":
			if d.Inputs[0].Column != "ts" || d.Identity || f.Type.String() != "timestamp[us, tz=UTC]" {
				t.Errorf("ts is %s from %+v", f.Type, d)
			}
		case "ts_ns":
			if d.Inputs[0].Column != "ts" || !d.Identity {
				t.Errorf("ts_ns is %+v", d)
			}
		}
	}
	reads := make(map[string]string)
	for _, r := range st.Reads {
		reads[r.Column] += r.How
	}
	if reads["ts"] != "SORTSORT" || reads["recording_id"] != "SORTSORT" { // of both inputs
		t.Errorf("reads %v", reads)
	}

	wrong := func(cfg *SinkConfig, want string, tables ...*pipeline.Table) {
		t.Helper()
		s, err := Spec().New(t.Context(), cfg, testEnv{store: newMemStore()})
		if err != nil {
			t.Fatal(err)
		}
		var issues pipeline.Issues
		if _, err := s.Bind(tables); err == nil || !issues.Add(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an issue with %q", err, want)
		}
	}
	fewer := &pipeline.Table{Name: "/z", Input: "drives", Alias: "/a", Schema: arrow.NewSchema(schema.Fields()[1:], nil)}
	wrong(testConfig(), "/a and /z (of input drives) both feed the table a, but one has 7 columns and the other 6", a, fewer)
	fields := slices.Clone(schema.Fields())
	fields[4].Type = arrow.Float32Type
	wrong(testConfig(), "column pose_x is float64 in one and float32 in the other", a, &pipeline.Table{Name: "/b", Alias: "/a", Schema: arrow.NewSchema(fields, nil)})
	cfg = testConfig()
	cfg.Partition = []pipeline.Text{{Value: "frame_idd"}}
	wrong(cfg, `no column "frame_idd" to partition by (did you mean frame_id?)`, a)
	cfg = testConfig()
	cfg.Partition = []pipeline.Text{{Value: "pose.x"}}
	wrong(cfg, "column pose.x of table /a is float64", a)
}

func shortHash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])[:6]
}

func TestSinkValidate(t *testing.T) {
	cfg := testConfig()
	cfg.Level, cfg.Compression = 3, "snappy"
	cfg.RowGroupRows, cfg.RowGroupBytes, cfg.FileBytes = 0, 2<<30, 0
	cfg.Partition = append(cfg.Partition, pipeline.Text{Value: "drive_date"})
	var issues pipeline.Issues
	cfg.Validate(&issues)
	if n := len(issues.All()); n != 5 {
		t.Errorf("%d issues: %v", n, issues.Err())
	}
	issues = pipeline.Issues{}
	if testConfig().Validate(&issues); issues.Err() != nil {
		t.Error(issues.Err())
	}
}

// Whatever fails, nothing becomes visible before Publish and nothing is left
// after Abort.
func TestSinkFailures(t *testing.T) {
	boom := errors.New("boom")
	for _, at := range []string{"upload:before", "publish:before", "publish:between", "publish:after", "disk", "abort", "cancel"} {
		t.Run(at, func(t *testing.T) {
			mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
			defer mem.AssertSize(t, 0)
			rec := driveRecord(t, mem, 2000)
			defer rec.Release()
			tables := []*pipeline.Table{{Name: "/a", Schema: rec.Schema()}, {Name: "/b", Schema: rec.Schema()}}
			cfg := testConfig()
			cfg.RowGroupRows = 100
			passed := make(map[string]int)
			var mu sync.Mutex
			u := openUnit(t, cfg, mem, 3, func(name string) error {
				mu.Lock()
				defer mu.Unlock()
				if passed[name]++; name == at {
					return boom
				}
				return nil
			}, tables...)
			if at == "disk" {
				u.store.failing = "b/"
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			err := func() error {
				for from := 0; from < 2000; from += 50 {
					if at == "cancel" && from == 1000 {
						cancel()
					}
					for _, tab := range tables {
						b := &pipeline.Batch{Table: tab, Record: rec.NewSlice(int64(from), int64(from+50))}
						if err := u.writer.Write(ctx, b, &u.acct); err != nil {
							return err
						}
					}
				}
				if at == "abort" {
					return boom
				}
				if _, err := u.writer.Finish(ctx, &u.acct); err != nil {
					return err
				}
				return u.writer.Publish(ctx)
			}()
			want := boom
			switch at {
			case "disk":
				want = errDisk
			case "cancel":
				want = context.Canceled
			}
			if !errors.Is(err, want) {
				t.Fatalf("got %v, want %v", err, want)
			}
			published := map[string]int{"publish:between": 1, "publish:after": 2}[at]
			if n := len(u.store.keys()); n != published {
				t.Errorf("%d files are visible, want %d", n, published)
			}
			if err := u.writer.Abort(t.Context()); err != nil {
				t.Fatal(err)
			}
			if n := len(u.store.open); n != 0 {
				t.Errorf("%d objects are left", n)
			}
			if passed["upload:before"] > 1 {
				t.Error("upload:before was passed twice")
			}
		})
	}
}

func TestPartitionKeys(t *testing.T) {
	mem := arrow.NewGoAllocator()
	dates, ints := column.New(mem, arrow.Date32Type), column.New(mem, arrow.Int16Type)
	for _, d := range []int32{20514, 20514, 20543, -1} {
		dates.AppendInt32(d)
		ints.AppendFixed([]byte{byte(d), 0xff})
	}
	dates.AppendNull()
	ints.AppendNull()
	schema := arrow.NewSchema([]arrow.Field{{Name: "date", Type: arrow.Date32Type, Nullable: true}, {Name: "Group", Type: arrow.Int16Type, Nullable: true}}, nil)
	rec := arrow.NewRecord(schema, []arrow.Array{dates.Finish(), ints.Finish()}, 5)
	table := &pipeline.Table{Name: "stats", Schema: schema}
	cfg := testConfig()
	cfg.Partition = []pipeline.Text{{Value: "month"}, {Value: "Group"}}
	u := openUnit(t, cfg, mem, 1, nil, table)
	u.write(t, table, rec, 5)
	u.finish(t)
	var got []string
	for _, f := range u.files {
		got = append(got, fmt.Sprint(f.Key, " ", f.Rows))
	}
	want := []string{
		"stats/month=1969-12/group=-1/slot-r1-00000.parquet 1",
		"stats/month=2026-03/group=-222/slot-r1-00000.parquet 2",
		"stats/month=2026-03/group=-193/slot-r1-00000.parquet 1",
		"stats/month=__HIVE_DEFAULT_PARTITION__/group=__HIVE_DEFAULT_PARTITION__/slot-r1-00000.parquet 1",
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got := escape("a=b/c:%\x01 é[]"); got != "a%3Db%2Fc%3A%25%01 é%5B%5D" {
		t.Errorf("escaped to %s", got)
	}
}

func driveRecord(t testing.TB, mem arrow.Allocator, n int) arrow.Record {
	t.Helper()
	attribute, clock := pipeline.FieldMeta(pipeline.MetaRole, pipeline.RoleAttribute), pipeline.FieldMeta(pipeline.MetaRole, pipeline.RoleClock)
	fields := []arrow.Field{
		{Name: "vehicle_id", Type: arrow.LabelType, Metadata: attribute},
		{Name: "recording_id", Type: arrow.StringType, Metadata: attribute},
		{Name: "ts", Type: arrow.TimeType, Nullable: true, Metadata: pipeline.FieldMeta(pipeline.MetaRole, pipeline.RoleTime)},
		{Name: "log_time", Type: arrow.TimeType, Metadata: clock},
		{Name: "pose.x", Type: arrow.Float64Type, Nullable: true, Metadata: pipeline.FieldMeta(pipeline.MetaUnit, "m")},
		{Name: "frame_id", Type: arrow.StringType, Nullable: true},
	}
	var cols []arrow.Array
	for _, f := range fields {
		if f.Type.ID() == arrow.DICTIONARY {
			codes, labels := column.New(mem, arrow.Int32Type), column.New(mem, arrow.StringType)
			labels.AppendString("unused")
			labels.AppendString("car-7")
			for range n {
				codes.AppendInt32(1)
			}
			x, d := codes.Finish(), labels.Finish()
			cols = append(cols, arrow.NewDictionaryArray(f.Type, x, d))
			x.Release()
			d.Release()
			continue
		}
		c := column.New(mem, f.Type)
		for i := range n {
			switch f.Name {
			case "recording_id":
				c.AppendString("rec-1")
			case "ts", "log_time":
				c.AppendInt64(1772000000000000123 + int64(i)*10_000_000)
			case "pose.x":
				c.AppendFloat64(float64(i))
			case "frame_id":
				switch {
				case i%1000 < 900:
					c.AppendString("base_link")
				case i%2 == 0:
					c.AppendString("a b/c=d")
				default:
					c.AppendNull()
				}
			}
		}
		cols = append(cols, c.Finish())
	}
	rec := arrow.NewRecord(arrow.NewSchema(fields, nil), cols, int64(n))
	for _, c := range cols {
		c.Release()
	}
	return rec
}
