package fleet

// What drives of the makers report.
var (
	seagate = []int{1, 3, 4, 5, 7, 9, 10, 12, 18, 187, 188, 190, 192, 193, 194, 195, 197, 198, 199, 200, 240, 241, 242}
	older   = []int{1, 3, 4, 5, 7, 9, 10, 12, 183, 184, 187, 188, 189, 190, 191, 192, 193, 194, 197, 198, 199, 240, 241, 242}
	hgst    = []int{1, 2, 3, 4, 5, 7, 8, 9, 10, 12, 22, 192, 193, 194, 196, 197, 198, 199}
	toshiba = []int{1, 2, 3, 4, 5, 7, 8, 9, 10, 12, 23, 24, 191, 192, 193, 194, 196, 197, 198, 199, 220, 222, 224, 226}
	laptop  = []int{1, 3, 4, 5, 7, 9, 10, 12, 191, 192, 193, 194, 196, 197, 198, 199}
	solid   = []int{1, 5, 9, 12, 168, 170, 173, 174, 177, 192, 194, 202, 218, 231, 232, 233, 235, 241, 242}
)

// kind is a model that there is, with what is the same in all fleets.
type kind struct {
	name, serial string
	capacity     int64
	smart        []int
}

const (
	gb250 = 250_059_350_016
	gb500 = 500_107_862_016
	tb4   = 4_000_787_030_016
	tb6   = 6_001_175_126_016
	tb8   = 8_001_563_222_016
	tb10  = 10_000_831_348_736
	tb12  = 12_000_138_625_024
	tb14  = 14_000_519_643_136
	tb16  = 16_000_900_661_248
)

// catalog is the mix of a fleet of the early twenties: share of every thousand
// drives, power-on hours, installed and retired per thousand of its drives and
// quarter, failure curve.
var catalog = []struct {
	kind
	share              int
	hours              int64
	installed, retired int
	boot               bool
	rate               Curve
}{
	{kind{"ST4000DM000", "Z30", tb4, older}, 90, 55_000, 0, 12, false, Curve{4_000, 12_000, 8_000}},
	{kind{"ST8000NM0055", "ZA1", tb8, older}, 75, 42_000, 0, 4, false, Curve{4_000, 10_000, 6_000}},
	{kind{"ST12000NM0008", "ZHZ", tb12, seagate}, 105, 17_000, 2, 1, false, Curve{8_000, 9_000, 4_000}},
	{kind{"ST14000NM0138", "ZHZ", tb14, seagate}, 9, 14_000, 0, 2, false, Curve{20_000, 48_000, 0}},
	{kind{"ST16000NM001G", "ZL2", tb16, seagate}, 95, 6_000, 180, 0, false, Curve{6_000, 6_000, 2_000}},
	{kind{"HGST HMS5C4040BLE640", "PL1", tb4, hgst}, 65, 48_000, 0, 2, false, Curve{1_000, 3_000, 1_000}},
	{kind{"HGST HUH721212ALN604", "8HG", tb12, hgst}, 57, 24_000, 0, 1, false, Curve{2_000, 4_000, 2_000}},
	{kind{"TOSHIBA MG07ACA14TA", "Y8K", tb14, toshiba}, 190, 9_000, 15, 0, false, Curve{6_000, 7_500, 2_000}},
	{kind{"TOSHIBA MG08ACA16TEY", "Z0A", tb16, toshiba}, 40, 4_000, 160, 0, false, Curve{8_000, 7_000, 2_000}},
	{kind{"WDC WUH721414ALE6L4", "9KG", tb14, hgst}, 42, 8_000, 4, 0, false, Curve{1_000, 3_000, 1_000}},
	{kind{"WDC WUH721816ALE6L4", "2CG", tb16, hgst}, 200, 3_000, 320, 0, false, Curve{2_000, 3_000, 1_000}},
	{kind{"WDC WD5000LPVX", "WX1", gb500, laptop}, 12, 40_000, 0, 40, true, Curve{2_000, 15_000, 8_000}},
	{kind{"Seagate BarraCuda SSD ZA250CM10003", "7QT", gb250, solid}, 20, 9_000, 60, 0, true, Curve{2_000, 8_000, 0}},
}

// Catalog returns a mix of models, about drives of them on the first day, that
// grows, ages and fails over a period of that many days as fleets do.
func Catalog(drives, days int) []Model {
	var out []Model
	for _, c := range catalog {
		n := max(1, drives*c.share/1000)
		out = append(out, Model{
			Name: c.name, Serial: c.serial, Capacity: c.capacity, Smart: c.smart, Boot: c.boot, Rate: c.rate,
			Drives: n, Hours: c.hours, Installed: n * c.installed * days / 91_000, Retired: n * c.retired * days / 91_000, Missing: 4,
		})
	}
	return out
}

// Figures of the third quarter of 2021, as published by Backblaze.
const (
	Q3Drives    = 190_826 // of the table, on 2021-09-30
	Q3Failures  = 515
	Q3DriveDays = 17_031_430
	Q3Removed   = 386 // drives left out of the table: models under 60 drives
	Q3BootHDD   = 1_557
	Q3BootSSD   = 1_980
)

// q3 are the models of the table: drives at the start and the end, failures.
var q3 = []struct {
	kind
	start, end, failures int
	hours                int64
}{
	{kind{"HGST HMS5C4040ALE640", "PL2", tb4, hgst}, 3_185, 3_183, 2, 52_000},
	{kind{"HGST HMS5C4040BLE640", "PL1", tb4, hgst}, 12_738, 12_728, 10, 46_000},
	{kind{"HGST HUH728080ALE600", "VJG", tb8, hgst}, 1_090, 1_089, 1, 31_000},
	{kind{"HGST HUH721212ALE600", "8CG", tb12, hgst}, 2_603, 2_603, 0, 17_000},
	{kind{"HGST HUH721212ALE604", "5PG", tb12, hgst}, 13_160, 13_142, 18, 6_000},
	{kind{"HGST HUH721212ALN604", "8HG", tb12, hgst}, 10_819, 10_808, 11, 22_000},
	{kind{"ST4000DM000", "Z30", tb4, older}, 18_718, 18_611, 107, 52_000},
	{kind{"ST6000DX000", "Z4D", tb6, older}, 887, 886, 1, 54_649}, // 77.8 months on the last day
	{kind{"ST8000DM002", "ZA1", tb8, older}, 9_770, 9_718, 52, 43_000},
	{kind{"ST8000NM0055", "ZA1", tb8, older}, 14_509, 14_447, 62, 39_000},
	{kind{"ST10000NM0086", "ZA2", tb10, seagate}, 1_198, 1_189, 9, 35_000},
	{kind{"ST12000NM0007", "ZCH", tb12, seagate}, 1_400, 1_372, 12, 25_000},
	{kind{"ST12000NM0008", "ZHZ", tb12, seagate}, 20_101, 20_031, 60, 13_000},
	{kind{"ST12000NM001G", "ZLW", tb12, seagate}, 11_400, 11_836, 22, 7_500},
	{kind{"ST14000NM001G", "ZL2", tb14, seagate}, 10_500, 10_734, 25, 5_500},
	{kind{"ST14000NM0138", "ZHZ", tb14, seagate}, 1_636, 1_610, 26, 7_000},
	{kind{"ST16000NM001G", "ZL2", tb16, seagate}, 8_000, 13_120, 20, 3_000},
	{kind{"TOSHIBA MD04ABA400V", "X5B", tb4, toshiba}, 99, 98, 1, 53_042}, // 75.6 months
	{kind{"TOSHIBA MG07ACA14TEY", "Y9K", tb14, toshiba}, 450, 500, 1, 4_000},
	{kind{"TOSHIBA MG08ACA16TEY", "Z0A", tb16, toshiba}, 1_500, 4_000, 5, 1_500},
	{kind{"WDC WUH721414ALE6L4", "9KG", tb14, hgst}, 8_409, 8_406, 3, 5_500},
	{kind{"WDC WUH721816ALE6L0", "2CG", tb16, hgst}, 600, 1_500, 1, 1_000},
	// What is left of the sums is its part.
	{kind{"TOSHIBA MG07ACA14TA", "Y8K", tb14, toshiba}, 0, 0, 0, 6_500},
}

// PublishedQ3 returns the fleet of the third quarter of 2021: all sums that were
// published hold exactly, as do which models had no failure, which had one and
// not more than 100,256 drive days, the 26 of ST14000NM0138, and the average
// ages of ST6000DX000 (77.8 months) and TOSHIBA MD04ABA400V (75.6). How the rest
// is spread over models is made up. Models outside the table come behind those
// in it: first those under 60 drives, then boot drives.
func PublishedQ3(seed uint64) Config {
	c := Config{Seed: seed}
	c.From, c.To = Quarter(2021, 3)
	days := int64(c.To-c.From) + 1
	rest := Facts{Drives: Q3Drives, Failures: Q3Failures, DriveDays: Q3DriveDays}
	starts := 2*Q3DriveDays/days - Q3Drives // were growth even
	for i, m := range q3 {
		start := int64(m.start)
		facts := Facts{m.end, m.failures, (start + int64(m.end)) * days / 2}
		if i == len(q3)-1 {
			start, facts = starts, rest
		}
		starts -= start
		rest.Drives, rest.Failures, rest.DriveDays = rest.Drives-facts.Drives, rest.Failures-facts.Failures, rest.DriveDays-facts.DriveDays
		c.Models = append(c.Models, m.model(int(start), m.hours, facts))
	}
	outside := func(m kind, boot bool, drives, failures int, hours int64) {
		out := m.model(drives+failures, hours, Facts{drives, failures, (int64(drives) + int64(failures)/2) * days})
		out.Boot = boot
		c.Models = append(c.Models, out)
	}
	for _, m := range []struct {
		kind
		drives, failures int
	}{
		{kind{"TOSHIBA MG08ACA16TE", "Z0B", tb16, toshiba}, 59, 2},
		{kind{"ST18000NM000J", "ZR5", 18_000_207_937_536, seagate}, 58, 0},
		{kind{"HGST HDS5C4040ALE630", "PL3", tb4, hgst}, 57, 1},
		{kind{"WDC WUH721818ALE6L4", "3WG", 18_000_207_937_536, hgst}, 55, 0},
		{kind{"TOSHIBA HDWF180", "48F", tb8, toshiba}, 52, 0},
		{kind{"ST8000DM004", "WCT", tb8, older}, 50, 0},
		{kind{"HGST HUS726040ALE610", "N8G", tb4, hgst}, 40, 1},
		{kind{"ST1000LM024 HN", "S2Y", 1_000_204_886_016, laptop}, 15, 0},
	} {
		outside(m.kind, false, m.drives, m.failures, 20_000)
	}
	for _, m := range []struct {
		kind
		drives, failures int
	}{
		{kind{"ST500LM012 HN", "S2Z", gb500, laptop}, 500, 4},
		{kind{"ST500LM030", "ZDE", gb500, laptop}, 250, 3},
		{kind{"TOSHIBA MQ01ABF050", "X6T", gb500, laptop}, 400, 5},
		{kind{"TOSHIBA MQ01ABF050M", "37T", gb500, laptop}, 300, 2},
		{kind{"WDC WD5000LPVX", "WX1", gb500, laptop}, 107, 1},
		{kind{"Seagate BarraCuda SSD ZA250CM10003", "7QT", gb250, solid}, 1_000, 2},
		{kind{"Seagate BarraCuda SSD ZA250CM10002", "7M1", gb250, solid}, 550, 1},
		{kind{"CT250MX500SSD1", "CTM", gb250, solid}, 300, 1},
		{kind{"DELLBOSS VD", "DB0", 480_036_847_616, solid}, 130, 0},
	} {
		outside(m.kind, true, m.drives, m.failures, 15_000)
	}
	return c
}

func (k kind) model(drives int, hours int64, facts Facts) Model {
	return Model{Name: k.name, Serial: k.serial, Capacity: k.capacity, Smart: k.smart, Drives: drives, Hours: hours, Missing: 2, Facts: &facts}
}
