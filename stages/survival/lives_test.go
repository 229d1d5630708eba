package survival

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/stages/internal/rowtest"
)

var rowTable = rowtest.Table("drive_stats",
	rowtest.F("date", arrow.Date32Type), rowtest.F("serial_number", arrow.StringType), rowtest.F("model", arrow.StringType), rowtest.F("failure", arrow.Int32Type),
	rowtest.F("smart_9_raw", arrow.Int64Type), rowtest.F("model_norm", arrow.StringType), rowtest.F("maker", arrow.StringType),
	rowtest.F("drive_class", arrow.StringType), rowtest.F("capacity_clean", arrow.Int64Type))

// seen is a row of drive s.
func seen(day int, s string, failure int, hours any) []any {
	return []any{day, s, "M", failure, hours, "M", "x", "data_hdd", nil}
}

func TestLives(t *testing.T) {
	mem := checked(t)
	rows := [][]any{
		seen(10, "A", 0, nil), seen(11, "A", 0, 124), seen(14, "A", 1, 200),
		seen(10, "B", 1, 255111), seen(13, "B", 0, nil),
		seen(12, "C", 0, 10), seen(13, "C", 1, 34), seen(14, "C", 0, 58),
	}
	for policy, want := range map[string]string{
		"last": `A M M x data_hdd null null null 1970-01-11 1970-01-15 100 220 200 true 1 3 2 0
B M M x data_hdd null null null 1970-01-11 1970-01-14 null null null false 1 2 2 0
C M M x data_hdd null null null 1970-01-13 1970-01-15 10 82 58 false 1 3 0 0
`,
		"first": `A M M x data_hdd null null null 1970-01-11 1970-01-15 100 220 200 true 1 3 2 0
B M M x data_hdd null null null 1970-01-11 1970-01-11 null null null true 1 1 0 1
C M M x data_hdd null null null 1970-01-13 1970-01-14 10 58 34 true 1 2 0 1
`} {
		got := rowtest.Unit(t, mem, pipeline.Tables(&livesStage{LivesConfig{FailurePolicy: policy}}), rowTable, rowtest.Record(mem, rowTable.Schema, rows...))
		if s := got.Text(LivesTable); s != want {
			t.Errorf("%s:\n%s\nwant\n%s", policy, s, want)
		}
	}
	for _, bad := range [][][]any{{seen(5, "A", 0, nil), seen(5, "A", 0, nil)}, {seen(5, "A", 0, nil), seen(4, "A", 0, nil)}} {
		for _, s := range []pipeline.TableStage{&livesStage{}, &flowStage{FlowConfig{Period: "month"}}} {
			got := rowtest.Unit(t, mem, pipeline.Tables(s), rowTable, rowtest.Record(mem, rowTable.Schema, bad...))
			if got.Err == nil || !strings.Contains(got.Err.Error(), "sort by date") {
				t.Error(got.Err)
			}
		}
	}
}

func TestFlow(t *testing.T) {
	mem := checked(t)
	// Days 25 to 35 of 1970 but 30, on which nobody was seen. February begins
	// with day 31.
	rows := [][]any{}
	for d := 25; d <= 35; d++ {
		if d == 30 {
			continue
		}
		rows = append(rows, seen(d, "always", 0, nil))
		if d <= 29 {
			rows = append(rows, seen(d, "removed", 0, nil)) // gone since day 31
		}
		if d < 27 || d > 32 {
			rows = append(rows, seen(d, "returned", 0, nil))
		}
		if d >= 33 {
			rows = append(rows, seen(d, "late", (d-33)/2, nil)) // fails on the last day
		}
		if d <= 28 {
			rows = append(rows, seen(d, "back", d/28, nil))
		} else if d == 35 {
			rows = append(rows, seen(d, "back", 0, nil))
		}
	}
	got := rowtest.Unit(t, mem, pipeline.Tables(&flowStage{FlowConfig{Period: "month", By: rowtest.Texts("drive_class")}}), rowTable, rowtest.Record(mem, rowTable.Schema, rows...))
	if s := got.Text(FlowTable); s != `1970-01 1970-01-26 1970-01-30 data_hdd 0 4 0 1 1 2
1970-02 1970-02-01 1970-02-05 data_hdd 2 1 2 1 1 3
` {
		t.Error(s)
	}
}

// In every period the counts lead from one number of drives to the next, and
// the number of drives is that of rows without failure on the last day.
func TestFlowBalances(t *testing.T) {
	mem := checked(t)
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 4))
		var rows [][]any
		there := make(map[int]int) // drives on a day that did not fail on it
		for s := range 15 {
			for d := 20; d < 80; d++ {
				if d%17 == 0 || r.IntN(8) == 0 || r.IntN(3) == 0 && d > 60 {
					continue
				}
				fail := r.IntN(12) / 11
				rows = append(rows, seen(d, fmt.Sprint("S", s), fail, nil))
				there[d] += 1 - fail
			}
		}
		got := rowtest.Unit(t, mem, pipeline.Tables(&flowStage{FlowConfig{Period: "day"}}), rowTable, rowtest.Record(mem, rowTable.Schema, rows...))
		rec := got.Tables[FlowTable][0]
		for i := range int(rec.NumRows()) {
			v := func(c int) int64 { return rec.Column(c).(*arrow.Int64).Value(i) }
			day := int(rec.Column(2).(*arrow.Date32).Value(i))
			if v(3)+v(4)+v(5)-v(6)-v(7) != v(8) || int(v(8)) != there[day] {
				t.Fatalf("seed %d, day %d: want %d drives in the end:\n%s", seed, day, there[day], rowtest.Rows(rec))
			}
		}
	}
}
