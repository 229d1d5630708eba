package integrity

import (
	"strings"
	"testing"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/stages/internal/rowtest"
)

var table = rowtest.Table("drive_stats",
	rowtest.F("date", arrow.Date32Type), rowtest.F("serial_number", arrow.StringType), rowtest.F("model", arrow.StringType), rowtest.F("capacity_bytes", arrow.Int64Type),
	rowtest.F("failure", arrow.Int32Type), rowtest.F("smart_9_raw", arrow.Int64Type), rowtest.F("model_norm", arrow.StringType))

func TestIntegrity(t *testing.T) {
	mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
	t.Cleanup(func() { mem.AssertSize(t, 0) })
	row := func(day int, serial, model string, capacity, failure int, hours any) []any {
		return []any{day, serial, model, capacity, failure, hours, strings.TrimPrefix(model, "WDC ")}
	}
	rows := [][]any{
		row(10, "A", "M", 5, 0, 100), row(10, "A", "M", 5, 0, 100), row(11, "A", "WDC M", 5, 0, 90), row(12, "A", "M", -1, 0, nil), row(18, "A", "M", -1, 0, 120),
		row(10, "B", "M", 5, 0, 255111), row(11, "B", "M", 5, 1, 255112), row(12, "B", "M", 5, 0, 10), row(13, "B", "M", 5, 0, 11), row(16, "B", "M", 5, 0, 12),
		row(11, "A", "N", 5, 0, 1),
	}
	s, err := newStage(&Config{})
	if err != nil {
		t.Fatal(err)
	}
	got := rowtest.Unit(t, mem, pipeline.Tables(s), table, rowtest.Record(mem, table.Schema, rows[:3]...), rowtest.Record(mem, table.Schema, rows[3:]...))
	if got.Err != nil {
		t.Fatal(got.Err)
	}
	t.Run("24 a drive that failed and returns", func(t *testing.T) {
		if s := got.Text(Table); !strings.Contains(s, "resurrected B M 1970-01-13 failure 1970-01-12 1970-01-13 null\n") ||
			!strings.Contains(s, "rows_after_failure B M 1970-01-17 failure null null 3\n") {
			t.Error(s)
		}
	})
	if s := got.Text(Table); s != `duplicate_day A M 1970-01-11 null 1970-01-11 1970-01-11 null
model_spelling A M 1970-01-12 model M WDC M null
counter_backwards A M 1970-01-12 smart_9_raw 100 90 null
model_spelling A M 1970-01-13 model WDC M M null
capacity_change A M 1970-01-13 capacity_bytes 5 -1 null
out_of_range B M 1970-01-11 smart_9_raw null 255111 0..175200
resurrected B M 1970-01-13 failure 1970-01-12 1970-01-13 null
counter_backwards B M 1970-01-13 smart_9_raw 255112 10 null
model_change A N 1970-01-12 model_norm M N null
missing_days A M 1970-01-19 null 1970-01-13 1970-01-19 2
day_without_data null null 1970-01-15 null null null null
day_without_data null null 1970-01-16 null null null null
day_without_data null null 1970-01-18 null null null null
rows_after_failure B M 1970-01-17 failure null null 3
` {
		t.Error(s)
	}
	back := rowtest.Unit(t, mem, pipeline.Tables(s), table, rowtest.Record(mem, table.Schema, rows[3], rows[0]))
	if back.Err == nil || !strings.Contains(back.Err.Error(), "sort by date") {
		t.Error(back.Err)
	}
}

func TestMistakes(t *testing.T) {
	for _, r := range []string{"0-5", "5..0", "a..b", ""} {
		if _, err := newStage(&Config{Ranges: rowtest.Map("smart_9_raw", r)}); err == nil || !strings.Contains(err.Error(), "low..high") {
			t.Errorf("%q: %v", r, err)
		}
	}
	s, err := newStage(&Config{Ranges: rowtest.Map("smart_8_raw", "0..5")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.BindTable(table); err == nil || !strings.Contains(err.Error(), "smart_8_raw") {
		t.Error(err)
	}
}
