package afr

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/stages/internal/rowtest"
)

func checked(t *testing.T) arrow.Allocator {
	mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
	t.Cleanup(func() { mem.AssertSize(t, 0) })
	return mem
}

var rowTable = rowtest.Table("drive_stats",
	rowtest.F("date", arrow.Date32Type), rowtest.F("serial_number", arrow.StringType), rowtest.F("model", arrow.StringType), rowtest.F("failure", arrow.Int32Type),
	rowtest.F("datacenter", arrow.StringType), rowtest.F("vault_id", arrow.StringType), rowtest.F("smart_9_raw", arrow.Int64Type),
	rowtest.F("model_norm", arrow.StringType), rowtest.F("maker", arrow.StringType), rowtest.F("drive_class", arrow.StringType), rowtest.F("capacity_clean", arrow.Int64Type))

var cubeTable = &pipeline.Table{Name: CubeTable, Schema: arrow.NewSchema(cubeFields, nil)}

func newCube() pipeline.Stage { return pipeline.Tables(cubeStage{}) }

func newRates(t *testing.T, c Config) pipeline.Stage {
	t.Helper()
	for _, d := range []struct {
		at *string
		to string
	}{{&c.Period, "quarter"}, {&c.DrivesAt, "end"}, {&c.FailurePolicy, "as_published"}} {
		if *d.at == "" {
			*d.at = d.to
		}
	}
	if c.Confidence == 0 {
		c.Confidence = 0.95
	}
	var issues pipeline.Issues
	c.Validate(&issues)
	if err := issues.Err(); err != nil {
		t.Fatal(err)
	}
	s, err := Spec().New(t.Context(), &c, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// day0 is 2021-07-01.
const day0 = 18809

// randomRows are drives over some weeks.
func randomRows(seed uint64, n int) [][]any {
	r := rand.New(rand.NewPCG(seed, 1))
	maybe := func(v any) any {
		if r.IntN(5) == 0 {
			return nil
		}
		return v
	}
	var rows [][]any
	for range n {
		m := r.IntN(4)
		fail := 0
		if r.IntN(20) == 0 {
			fail = 1
		}
		rows = append(rows, []any{day0 + r.IntN(120), fmt.Sprint("S", r.IntN(50)), fmt.Sprint("M", m), fail,
			maybe(fmt.Sprint("dc", r.IntN(2))), maybe(fmt.Sprint("v", r.IntN(3))), maybe(r.IntN(30000)),
			fmt.Sprint("M", m/2), "maker", []string{"data_hdd", "boot_ssd"}[m/2], maybe(4_000_000_000_000)})
	}
	return rows
}

// A cube of cubes of parts is the cube of the whole, and so are its rates.
func TestCubesMerge(t *testing.T) {
	mem := checked(t)
	for seed := range uint64(5) {
		rows := randomRows(seed, 600)
		record := func(rows [][]any) arrow.Record { return rowtest.Record(mem, rowTable.Schema, rows...) }
		whole := rowtest.Unit(t, mem, newCube(), rowTable, record(rows))
		var parts []arrow.Record
		for i := range 7 {
			part := rowtest.Unit(t, mem, newCube(), rowTable, record(rows[600*i/7:600*(i+1)/7]))
			for _, rec := range part.Tables[CubeTable] {
				rec.Retain()
				parts = append(parts, rec)
			}
		}
		merged := rowtest.Unit(t, mem, newCube(), cubeTable, parts...)
		if a, b := whole.Text(CubeTable), merged.Text(CubeTable); a != b || a == "" {
			t.Fatalf("whole:\n%s\nmerged:\n%s", a, b)
		}
		for _, policy := range []string{"as_published", "first", "last"} {
			c := Config{By: rowtest.Texts("vault_id", "age_years"), FailurePolicy: policy, Period: "month"}
			rates := func(of rowtest.Outcome) string {
				rec := of.Tables[CubeTable][0]
				rec.Retain()
				return rowtest.Unit(t, mem, newRates(t, c), cubeTable, rec).Text(Table)
			}
			if a, b := rates(whole), rates(merged); a != b || a == "" {
				t.Fatalf("rates of the whole:\n%s\nmerged:\n%s", a, b)
			}
		}
	}
}

func TestCubeRefuses(t *testing.T) {
	mem := checked(t)
	row := func(date, failure any) []any {
		return []any{date, "S", "M", failure, nil, nil, 255111, "M", "x", "data_hdd", nil}
	}
	got := rowtest.Unit(t, mem, newCube(), rowTable, rowtest.Record(mem, rowTable.Schema, row(nil, 0), row(day0, 2), row(day0, nil), row(day0, 0)))
	if s := strings.Join(got.Bad, ", "); s != "date no_date, failure bad_failure, failure bad_failure" {
		t.Error(s)
	}
	// 255,111 hours are not believed.
	if s := got.Text(CubeTable); s != "2021-07-01 M M x data_hdd null null null null null 1 0 0 0\n" {
		t.Error(s)
	}
	if _, err := newCube().Bind([]*pipeline.Table{rowtest.Table("t", rowtest.F("date", arrow.StringType))}); err == nil || !strings.Contains(err.Error(), "serial_number") {
		t.Error(err)
	}
}

// cubeRow is a row of a cube: n drives of a model on a day.
func cubeRow(day int, model, class string, capacity any, days, failures int, serial any, hours any) []any {
	ageDrives, ageHours := 0, 0
	var years any
	if hours != nil {
		ageDrives, ageHours, years = days, days*hours.(int), hours.(int)/8766
	}
	return []any{day, model, model, "maker", class, capacity, "dc", "v", years, serial, days, failures, ageDrives, ageHours}
}

// value returns a cell of the first row whose columns have the given values.
func value(t *testing.T, o rowtest.Outcome, column string, where ...string) string {
	t.Helper()
	for _, rec := range o.Tables[Table] {
	rows:
		for i := range int(rec.NumRows()) {
			for j := 0; j < len(where); j += 2 {
				col := rec.Column(rec.Schema().FieldIndices(where[j])[0])
				if s := col.ValueStr(i); s != where[j+1] && (where[j+1] != "null" || !col.IsNull(i)) {
					continue rows
				}
			}
			col := rec.Column(rec.Schema().FieldIndices(column)[0])
			if col.IsNull(i) {
				return "null"
			}
			return col.ValueStr(i)
		}
	}
	t.Errorf("no row with %v", where)
	return ""
}

func total(o rowtest.Outcome, column string) (n int64) {
	for _, rec := range o.Tables[Table] {
		for _, v := range rec.Column(rec.Schema().FieldIndices(column)[0]).(*arrow.Int64).Int64Values() {
			n += v
		}
	}
	return n
}

func TestPresets(t *testing.T) {
	mem := checked(t)
	// One model with n drives on each of k days of a quarter.
	included := func(preset string, n, k, last int) bool {
		var rows [][]any
		for d := range k {
			count := n
			if d == k-1 {
				count += last
			}
			rows = append(rows, cubeRow(day0+d, "M", "data_hdd", nil, count, 0, nil, nil))
		}
		period := "quarter"
		if preset == "lifetime" {
			period = "lifetime"
		}
		o := rowtest.Unit(t, mem, newRates(t, Config{Preset: preset, Period: period, By: rowtest.Texts("model_norm")}), cubeTable, rowtest.Record(mem, cubeTable.Schema, rows...))
		if got := total(o, "drive_days"); got != int64(n*k+last) {
			t.Errorf("%s: included and excluded are %d drive days, not %d", preset, got, n*k+last)
		}
		return value(t, o, "excluded") == "null"
	}
	for _, c := range []struct {
		name         string
		preset       string
		n, days, end int
		want         bool
	}{
		{"18 45 drives", "2016", 45, 2, 0, true},
		{"18 44 drives", "2016", 44, 2, 0, false},
		{"18 60 drives", "2022", 60, 2, 0, true},
		{"18 59 drives", "2022", 59, 2, 0, false},
		{"18 60 drives by the end", "2022", 59, 2, 1, true},
		{"18 101 drives and 10,001 days", "2025Q", 101, 92, 10_001 - 101*92, true},
		{"18 100 drives", "2025Q", 100, 92, 5000, false},
		{"18 10,000 days", "2025Q", 101, 92, 10_000 - 101*92, false},
		{"18 500 drives", "lifetime", 500, 300, 0, false},
		{"18 501 drives", "lifetime", 501, 300, 0, true},
		{"18 100,000 days", "lifetime", 501, 100, 100_000 - 501*100, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := included(c.preset, c.n, c.days, c.end); got != c.want {
				t.Errorf("included: %v", got)
			}
		})
	}
}

// A fleet with the facts that the report on the third quarter of 2021 states
// gives them back.
func TestThirdQuarter2021(t *testing.T) {
	mem := checked(t)
	type model struct {
		name, class          string
		drives, failures, mo int
	}
	models := []model{
		{"HUH721212ALE600", "data_hdd", 2600, 0, 23}, {"ST6000DX000", "data_hdd", 886, 1, 778}, {"MD04ABA400V", "data_hdd", 99, 1, 756},
		{"HUH728080ALE600", "data_hdd", 1080, 1, 400}, {"MG07ACA14TEY", "data_hdd", 463, 1, 100}, {"WUH721816ALE6L0", "data_hdd", 624, 1, 80},
		{"ST14000NM0138", "data_hdd", 1611, 26, 100},
		{"ST500LM012 HN", "boot_hdd", 1557, 3, 500}, {"Seagate BarraCuda SSD ZA250CM10002", "boot_ssd", 1980, 2, 200},
		{"TEST1", "data_hdd", 59, 4, 10}, {"TEST2", "data_hdd", 40, 0, 10}, {"TRIAL", "data_hdd", 287, 9, 10},
	}
	named := 0
	for _, m := range models[:7] {
		named += m.drives
	}
	models = append(models, model{"ST4000DM000", "data_hdd", 190_826 - named, 515 - 31, 700})
	const want = 17_031_430
	var rows [][]any
	sum := 0
	for _, m := range models {
		for d := range 92 {
			n := m.drives
			if m.name == "ST4000DM000" && d < 91 {
				// What the fleet grew by, so that the drive days come out.
				n = (want - named*92 - m.drives) / 91
				if d < (want-named*92-m.drives)%91 {
					n++
				}
			}
			if d == 91 {
				// Ages count on the last day: tenths of months of 730.5 hours.
				rows = append(rows, cubeRow(day0+d, m.name, m.class, nil, n, 0, nil, m.mo*7305/100))
				continue
			}
			f := 0
			if d < m.failures%91 {
				f = 1
			}
			f += m.failures / 91
			for k := range f {
				rows = append(rows, cubeRow(day0+d, m.name, m.class, nil, 1, 1, fmt.Sprint(m.name, d, k), nil))
			}
			rows = append(rows, cubeRow(day0+d, m.name, m.class, nil, n-f, 0, nil, nil))
			sum += n
		}
	}
	record := func() arrow.Record { return rowtest.Record(mem, cubeTable.Schema, rows...) }
	table := rowtest.Unit(t, mem, newRates(t, Config{Preset: "2022", By: rowtest.Texts("model_norm"), ExcludeModels: rowtest.Texts("TRIAL")}), cubeTable, record())
	fleet := rowtest.Unit(t, mem, newRates(t, Config{Preset: "2022", ExcludeModels: rowtest.Texts("TRIAL")}), cubeTable, record())
	for _, c := range []struct {
		of     rowtest.Outcome
		column string
		where  []string
		want   string
	}{
		{fleet, "period", nil, "2021-Q3"},
		{fleet, "last_day", nil, "2021-09-30"},
		{fleet, "drive_count", []string{"excluded", "null"}, "190826"},
		{fleet, "failures", []string{"excluded", "null"}, "515"},
		{fleet, "drive_days", []string{"excluded", "null"}, "17031430"},
		{fleet, "drive_count", []string{"excluded", "min_drives", "excluded_model", "TEST1"}, "59"},
		{fleet, "drive_count", []string{"excluded", "exclude_models"}, "287"},
		{fleet, "drive_count", []string{"excluded", "class", "excluded_model", "ST500LM012 HN"}, "1557"},
		{fleet, "drive_count", []string{"excluded", "class", "excluded_model", "Seagate BarraCuda SSD ZA250CM10002"}, "1980"},
		{table, "failures", []string{"model_norm", "HUH721212ALE600"}, "0"},
		{table, "afr", []string{"model_norm", "HUH721212ALE600"}, "0"},
		{table, "failures", []string{"model_norm", "WUH721816ALE6L0"}, "1"},
		{table, "failures", []string{"model_norm", "ST14000NM0138"}, "26"},
		{table, "average_age_months", []string{"model_norm", "MD04ABA400V"}, "75.59"},
		{table, "average_age_months", []string{"model_norm", "ST6000DX000"}, "77.79"},
		{table, "excluded", []string{"model_norm", "TEST2"}, "min_drives"},
	} {
		if got := value(t, c.of, c.column, c.where...); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s where %v is %s, want %s", c.column, c.where, got, c.want)
		}
	}
	var afr float64
	fmt.Sscan(value(t, fleet, "afr", "excluded", "null"), &afr)
	if math.Round(afr*100) != 110 {
		t.Errorf("rate of the fleet: %v", afr)
	}
	t.Run("19 included and excluded are all", func(t *testing.T) {
		if n := total(fleet, "drive_count"); n != 194_749 {
			t.Errorf("%d drives", n)
		}
		if a, b := total(fleet, "drive_days"), total(table, "drive_days"); a != b {
			t.Errorf("%d drive days of the fleet, %d by model", a, b)
		}
	})
	t.Run("20 classes are the pipeline's", func(t *testing.T) {
		ssd := rowtest.Unit(t, mem, newRates(t, Config{Classes: rowtest.Texts("boot_ssd")}), cubeTable, record())
		if got := value(t, ssd, "drive_count", "excluded", "null"); got != "1980" {
			t.Error(got)
		}
	})
}

func TestPeriods(t *testing.T) {
	mem := checked(t)
	rows := [][]any{}
	// 2025-06-30, 2025-07-01, 2025-09-30, 2025-10-01
	for _, d := range []int{20269, 20270, 20361, 20362} {
		rows = append(rows, cubeRow(d, "M", "data_hdd", nil, 10, 0, nil, nil))
	}
	// A leap year: every day of 2024, one failure.
	for d := range 366 {
		rows = append(rows, cubeRow(19723+d, "M", "data_hdd", nil, 1, 0, nil, nil))
	}
	rows = append(rows, cubeRow(19723, "M", "data_hdd", nil, 1, 1, "S", nil))
	run := func(period string) rowtest.Outcome {
		return rowtest.Unit(t, mem, newRates(t, Config{Period: period}), cubeTable, rowtest.Record(mem, cubeTable.Schema, rows...))
	}
	t.Run("22 quarters are inclusive", func(t *testing.T) {
		o := run("quarter")
		for _, c := range [][3]string{{"drive_days", "2025-Q3", "20"}, {"first_day", "2025-Q3", "2025-07-01"}, {"last_day", "2025-Q3", "2025-09-30"},
			{"drive_days", "2025-Q2", "10"}, {"drive_days", "2025-Q4", "10"}, {"provisional", "2025-Q3", "false"}, {"provisional", "2025-Q4", "true"}, {"data_days", "2025-Q3", "2"}} {
			if got := value(t, o, c[0], "period", c[1]); got != c[2] {
				t.Errorf("%s of %s is %s, want %s", c[0], c[1], got, c[2])
			}
		}
	})
	t.Run("23 a leap year counts 365", func(t *testing.T) {
		if got := value(t, run("year"), "afr", "period", "2024"); got != fmt.Sprint(1.0/367*365*100) {
			t.Error(got)
		}
	})
	for period, want := range map[string]string{"day": "2025-09-30", "month": "2025-09", "lifetime": "lifetime"} {
		value(t, run(period), "drive_days", "period", want)
	}
}

func TestFailurePolicy(t *testing.T) {
	mem := checked(t)
	rows := [][]any{
		cubeRow(day0, "M", "data_hdd", nil, 1, 1, "S1", nil), cubeRow(day0+100, "M", "data_hdd", nil, 1, 1, "S1", nil),
		cubeRow(day0, "M", "data_hdd", nil, 1, 1, "S2", nil), cubeRow(day0, "N", "data_hdd", nil, 1, 1, "S1", nil),
	}
	t.Run("24 a drive that fails twice", func(t *testing.T) {
		for policy, want := range map[string][2]string{"as_published": {"3", "1"}, "first": {"3", "0"}, "last": {"2", "1"}} {
			o := rowtest.Unit(t, mem, newRates(t, Config{FailurePolicy: policy}), cubeTable, rowtest.Record(mem, cubeTable.Schema, rows...))
			for i, q := range []string{"2021-Q3", "2021-Q4"} {
				if got := value(t, o, "failures", "period", q); got != want[i] {
					t.Errorf("%s in %s: %s, want %s", policy, q, got, want[i])
				}
			}
			if n := total(o, "failures") + total(o, "failures_ignored"); n != 4 {
				t.Errorf("%s: %d failures with those ignored", policy, n)
			}
		}
	})
}

func TestAgainst(t *testing.T) {
	mem := checked(t)
	o := rowtest.Unit(t, mem, newRates(t, Config{By: rowtest.Texts("model_norm"), Against: "B"}), cubeTable, rowtest.Record(mem, cubeTable.Schema,
		cubeRow(day0, "A", "data_hdd", nil, 1000, 3, nil, nil), cubeRow(day0, "B", "data_hdd", nil, 2000, 5, nil, nil)))
	for column, want := range map[string]float64{"ratio": 1.2, "ratio_low": 0.1863500819870177, "ratio_high": 6.167825407496365} {
		var got float64
		fmt.Sscan(value(t, o, column, "model_norm", "A"), &got)
		if math.Abs(got-want) > 1e-9*want {
			t.Errorf("%s is %v, want %v", column, got, want)
		}
	}
}

func TestMistakes(t *testing.T) {
	for want, c := range map[string]Config{
		"model_norm":        {By: rowtest.Texts("model_nor"), Confidence: 0.95},
		"there twice":       {By: rowtest.Texts("maker", "maker"), Confidence: 0.95},
		"no class":          {Classes: rowtest.Texts("ssd"), Confidence: 0.95},
		"thresholds of its": {Preset: "2016", MinDrives: 3, Confidence: 0.95},
		"between 0 and 1":   {Confidence: 95},
		"by must have just": {Against: "x", Confidence: 0.95},
		"are not negative":  {MinDrives: -1, Confidence: 0.95},
	} {
		var issues pipeline.Issues
		c.Validate(&issues)
		if err := issues.Err(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", c, err, want)
		}
	}
}
