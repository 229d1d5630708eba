package survival

import (
	"math"
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

var livesTable = &pipeline.Table{Name: LivesTable, Schema: arrow.NewSchema(livesFields, nil)}

// lifeRow is a row of drive_lives.
func lifeRow(class string, entry, exit any, failed bool) []any {
	return []any{"S", "M", "M", "x", class, nil, nil, nil, 0, 0, entry, exit, exit, failed, 0, 1, 0, 0}
}

// The curve is that of lifelines 0.30.3 with entry ages, cut off at the age
// where twelve drives are at risk.
func TestCurve(t *testing.T) {
	lives := []struct {
		entry, exit int
		failed      bool
	}{
		{936, 1344, false}, {792, 840, false}, {360, 1368, true}, {240, 432, true}, {360, 960, false}, {864, 1248, true}, {312, 960, true}, {576, 840, false},
		{96, 312, false}, {672, 888, true}, {0, 336, false}, {240, 1584, true}, {480, 792, false}, {312, 600, false}, {288, 1680, true}, {24, 600, true},
		{216, 624, true}, {456, 1728, false}, {0, 936, false}, {504, 624, true}, {456, 1200, false}, {264, 1008, false}, {264, 360, true}, {24, 1176, true},
		{600, 648, false}, {624, 1200, true}, {0, 696, true}, {264, 1224, false}, {288, 480, false}, {696, 1248, false}, {792, 1200, false}, {144, 1056,
			false}, {552, 1896, true}, {648, 792, true}, {768, 1728, true}, {216, 744, true}, {816, 960, true}, {480, 960, true}, {120, 1104, true}, {456, 1200,
			true}, {72, 216, false}, {816, 1440, true}, {912, 1464, false}, {696, 1704, true}, {72, 1488, false}, {744, 1272, false}, {192, 1320, false}, {192,
			1176, false}, {624, 792, true}, {552, 792, true}, {624, 1080, true}, {936, 2256, true}, {792, 1512, false}, {480, 1224, true}, {720, 1344, false},
		{168, 768, false}, {816, 1104, false}, {744, 2088, true}, {120, 888, true}, {840, 2184, false},
	}
	want := []struct {
		hours, failures             int64
		survival, low, high, hazard float64
	}{
		{360, 1, 0.9545454545454544, 0.7187028534239331, 0.9934696024400417, 0.045454545454545456},
		{432, 1, 0.9130434782608696, 0.6949475375320585, 0.9775156699007135, 0.08893280632411067},
		{600, 1, 0.8835904628330996, 0.678120719395638, 0.961334421905184, 0.1211908708402397},
		{624, 2, 0.8246844319775595, 0.6264830765500117, 0.9236226126483033, 0.18785753750690637},
		{696, 1, 0.7989130434782608, 0.6037559800711768, 0.9049393567368148, 0.21910753750690637},
		{744, 1, 0.7754156010230177, 0.5833554944201322, 0.8868841983392254, 0.24851930221278873},
		{792, 3, 0.7089514066496163, 0.5246534725247775, 0.8324118646517169, 0.33423358792707447},
		{888, 2, 0.6706297089928802, 0.49177281064379463, 0.7985841990275552, 0.38828764198112853},
		{960, 3, 0.6162543271826468, 0.44520513549080465, 0.7485644722092814, 0.4693687230622096},
		{1080, 1, 0.5963751553380454, 0.4275656107415774, 0.7301913955178959, 0.5016267875783387},
		{1104, 1, 0.5764959834934439, 0.40996615097612416, 0.7116148559709347, 0.534960120911672},
		{1176, 1, 0.555906841225821, 0.3916001757588786, 0.6923052064771231, 0.5706744066259577},
		{1200, 2, 0.5131447765161424, 0.35337040353025323, 0.6518552054400042, 0.6475974835490346},
		{1224, 1, 0.4898200139472268, 0.33220952335364123, 0.6298661457793557, 0.69305202900358},
		{1248, 1, 0.4653290132498654, 0.30994222522523085, 0.6067603536324689, 0.74305202900358},
		{1368, 1, 0.4320912265891609, 0.27697347271663786, 0.5778441378964506, 0.8144806004321514},
		{1440, 1, 0.3988534399284562, 0.24544591222382126, 0.5480112033423385, 0.8914036773552283},
		{1584, 1, 0.3545363910475165, 0.2008494032420251, 0.511782055377235, 1.0025147884663395},
		{1680, 1, 0.310219342166577, 0.1603455337787275, 0.473090937261194, 1.1275147884663395},
		{1704, 1, 0.2659022932856374, 0.12361171462543687, 0.43201571051773197, 1.2703719313234823},
		{1728, 1, 0.22158524440469782, 0.0905544043200485, 0.3884875604962289, 1.437038597990149},
		{1896, 1, 0.16618893330352338, 0.051481999854162255, 0.33767185860193555, 1.687038597990149},
		{2088, 1, 0.11079262220234892, 0.022240550186083934, 0.2803152688935855, 2.0203719313234823},
		{2256, 1, 0.0, 0.0, 0.0, 3.0203719313234823},
	}
	mem := checked(t)
	var rows [][]any
	for _, l := range lives {
		rows = append(rows, lifeRow("a", l.entry, l.exit, l.failed))
	}
	rows = append(rows, lifeRow("b", nil, nil, true), lifeRow("b", 5, 5, true), lifeRow("b", 0, 24, true))
	s := pipeline.Tables(&curveStage{Config{By: rowtest.Texts("drive_class"), MinAtRisk: 12, Confidence: 0.95}})
	got := rowtest.Unit(t, mem, s, livesTable, rowtest.Record(mem, livesTable.Schema, rows...))
	if got.Account.Filtered != 1 || strings.Join(got.Bad, ",") != "exit_hours bad_ages" {
		t.Errorf("%+v, %v", got.Account, got.Bad)
	}
	rec := got.Tables[Table][0]
	if int(rec.NumRows()) != len(want)+1 {
		t.Fatalf("%d points, want %d and the beginning:\n%s", rec.NumRows(), len(want), rowtest.Rows(rec))
	}
	ints := func(c int) []int64 { return rec.Column(c).(*arrow.Int64).Int64Values() }
	floats := func(c int) []float64 { return rec.Column(c).(*arrow.Float64).Float64Values() }
	if ints(1)[0] != 168 || ints(2)[0] != 12 || floats(4)[0] != 1 {
		t.Errorf("the curve begins with %s", rowtest.Rows(rec.NewSlice(0, 1)))
	}
	for i, w := range want {
		for c, v := range map[int]float64{1: float64(w.hours), 3: float64(w.failures)} {
			if float64(ints(c)[i+1]) != v {
				t.Errorf("point %d: column %d is %d, want %v", i, c, ints(c)[i+1], v)
			}
		}
		for c, v := range map[int]float64{4: w.survival, 6: w.low, 7: w.high, 8: w.hazard} {
			if f := floats(c)[i+1]; math.Abs(f-v) > 1e-9*max(v, 1e-6) {
				t.Errorf("age %d: column %s is %.17g, want %.17g", w.hours, rec.ColumnName(c), f, v)
			}
		}
	}
}
