package dedupe

import (
	"strings"
	"testing"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/stages/internal/rowtest"
)

var table = rowtest.Table("drive_stats", rowtest.F("model_norm", arrow.StringType), rowtest.F("serial_number", arrow.StringType), rowtest.F("date", arrow.Date32Type),
	rowtest.F("failure", arrow.Int32Type), rowtest.F("smart_9_raw", arrow.Int64Type))

func TestDedupe(t *testing.T) {
	rows := [][]any{
		{nil, "A", 19336, 0, 5}, {nil, "A", 19336, 0, 5},
		{"M", "A", 19336, 1, 3}, {"M", "A", 19336, 0, 9}, {"M", "A", 19336, 0, 9},
		{"M", "A", 19337, 0, 9}, {"M", "B", 19336, 0, nil}, {"M", "B", 19336, 0, nil}, {"N", "A", 19336, 0, 1},
	}
	for _, batch := range []int{1, 2, 100} {
		mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
		t.Cleanup(func() { mem.AssertSize(t, 0) })
		var recs []arrow.Record
		for i := 0; i < len(rows); i += batch {
			recs = append(recs, rowtest.Record(mem, table.Schema, rows[i:min(len(rows), i+batch)]...))
		}
		got := rowtest.Unit(t, mem, pipeline.Tables(&stage{Config{By: rowtest.Texts("model_norm", "serial_number", "date")}}), table, recs...)
		if got.Err != nil {
			t.Fatal(got.Err)
		}
		t.Run("11 one row for a drive and day", func(t *testing.T) {
			if s := got.Text("drive_stats"); s != `null A 2022-12-10 0 5
M A 2022-12-10 1 3
M A 2022-12-11 0 9
M B 2022-12-10 0 null
N A 2022-12-10 0 1
` {
				t.Error(s)
			}
		})
		if s := got.Text("drive_stats_removed"); s != `null A 2022-12-10 identical null
M A 2022-12-10 different failure,smart_9_raw
M A 2022-12-10 different failure,smart_9_raw
M B 2022-12-10 identical null
` {
			t.Error(s)
		}
		if got.Account.Absorbed != 4 || got.Account.Created != 4 {
			t.Errorf("%+v", got.Account)
		}
	}
}

func TestOutOfOrder(t *testing.T) {
	mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
	t.Cleanup(func() { mem.AssertSize(t, 0) })
	got := rowtest.Unit(t, mem, pipeline.Tables(&stage{Config{By: rowtest.Texts("model_norm", "date")}}), table,
		rowtest.Record(mem, table.Schema, []any{"M", "A", 5, 0, 1}), rowtest.Record(mem, table.Schema, []any{"M", "A", 4, 0, 1}))
	if got.Err == nil || !strings.Contains(got.Err.Error(), "sort by model_norm, date before") {
		t.Error(got.Err)
	}
}

func TestMistakes(t *testing.T) {
	_, err := (&stage{Config{By: rowtest.Texts("serial")}}).BindTable(table)
	if err == nil || !strings.Contains(err.Error(), `no column "serial"`) {
		t.Error(err)
	}
	var issues pipeline.Issues
	(&Config{}).Validate(&issues)
	if issues.Err() == nil {
		t.Error("a key without columns")
	}
}
