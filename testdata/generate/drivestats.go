package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// SMART attributes reported by the files of an era: each has a normalized and
// a raw column, in ascending order of the attribute.
var (
	smart2013 = []int{1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 13, 15, 183, 184, 187, 188, 189, 190, 191, 192, 193, 194, 195,
		196, 197, 198, 199, 200, 201, 223, 225, 240, 241, 242, 250, 251, 252, 254, 255}
	smart2018q2 = extend(smart2013, 22, 220, 222, 224, 226, 177, 179, 181, 182, 235, 23, 24)
	smart2018q4 = extend(smart2018q2, 16, 17, 168, 170, 173, 174, 218, 231, 232, 233)
	smart2023q3 = extend(smart2018q4, 18, 175, 180, 202, 206, 210, 234, 245, 247, 248,
		160, 161, 163, 164, 165, 166, 167, 169, 176, 178, 171, 172, 230, 244, 246, 71, 90, 27, 82)
)

var fixedColumns = []string{"date", "serial_number", "model", "capacity_bytes", "failure"}

func extend(ids []int, more ...int) []int {
	out := append(slices.Clone(ids), more...)
	slices.Sort(out)
	return out
}

// columns lists the column names of an era.
func columns(smart []int, infrastructure ...string) []string {
	out := append(slices.Clone(fixedColumns), infrastructure...)
	for _, id := range smart {
		out = append(out, fmt.Sprintf("smart_%d_normalized", id), fmt.Sprintf("smart_%d_raw", id))
	}
	return out
}

// driveModel is what drives of one model report.
type driveModel struct {
	name     string
	prefix   string
	capacity int64
	share    int   // drives of every 300
	smart    []int // attributes reported
}

var (
	common   = []int{1, 5, 9, 194, 197}
	seagate  = []int{1, 5, 7, 9, 187, 188, 190, 193, 194, 197, 198}
	hitachi  = []int{1, 2, 5, 9, 193, 194, 197, 198}
	helium   = []int{1, 5, 9, 22, 193, 194, 197}
	solid    = []int{1, 9, 173, 174, 194, 231, 233}
	toshibas = []int{1, 5, 9, 191, 194, 197, 220, 222}
)

var driveModels = []driveModel{
	{"ST4000DM000", "Z30", 4000787030016, 78, seagate},
	{"ST8000NM0055", "ZA1", 8001563222016, 40, seagate},
	{"ST12000NM0007", "ZCH", 12000138625024, 61, seagate},
	{"ST10000NM0086", "ZA2", 10000831348736, 12, seagate},
	{"HGST HMS5C4040BLE640", "PL1", 4000787030016, 39, hitachi},
	{"HGST HUH721212ALN604", "8HG", 12000138625024, 22, helium},
	{"Hitachi HDS722020ALA330", "JK1", 2000398934016, 6, hitachi},
	{"TOSHIBA MG07ACA14TA", "Y8K", 14000519643136, 10, toshibas},
	{"TOSHIBA MQ01ABF050M", "37T", 500107862016, 8, toshibas},
	{"WDC WD60EFRX", "WD-WX", 6001175126016, 10, common},
	{"WDC WD5000LPVX", "WX1", 500107862016, 8, common},
	{"Seagate BarraCuda SSD ZA250CM10002", "7M1", 250059350016, 6, solid},
}

// drive of the fleet.
type fleetDrive struct {
	model    *driveModel
	serial   string
	hours    int64 // power-on hours on the first day
	seed     uint64
	joins    int // first day in service
	fails    int // day of failure, -1 for none
	vanishes int // first day without it, though it did not fail; -1 for none
}

var firstDay = time.Date(2018, 9, 28, 0, 0, 0, 0, time.UTC)

const fleetDays = 7

// fleet makes the drives. Solid-state drives join when their attributes do.
func fleet() []*fleetDrive {
	r := newRandom(20180928)
	const digits = "0123456789ABCDEFGHJKLMNPQRSTVWXYZ"
	var out []*fleetDrive
	for i := range driveModels {
		m := &driveModels[i]
		for range m.share {
			d := &fleetDrive{model: m, serial: m.prefix, hours: r.between(200, 41_000), seed: r.next(), fails: -1, vanishes: -1}
			for range 6 {
				d.serial += string(digits[r.below(len(digits))])
			}
			if m.name == "Seagate BarraCuda SSD ZA250CM10002" {
				d.joins, d.hours = 3, 2
			}
			out = append(out, d)
		}
	}
	out[17].fails = 1
	out[91].fails = 3
	out[140].fails = 3
	out[262].fails = 6
	out[40].vanishes = 2
	out[205].vanishes = 5
	return out
}

// cells of one drive on one day, by column name. Missing means empty.
func (d *fleetDrive) cells(day int) map[string]int64 {
	r := newRandom(d.seed + uint64(day))
	own := newRandom(d.seed)
	baseTemp, bad := own.between(19, 34), own.below(40) == 0
	c := map[string]int64{"capacity_bytes": d.model.capacity, "failure": 0}
	if d.fails == day {
		c["failure"] = 1
	}
	set := func(id int, normalized, raw int64) {
		c[fmt.Sprintf("smart_%d_normalized", id)] = normalized
		c[fmt.Sprintf("smart_%d_raw", id)] = raw
	}
	for _, id := range d.model.smart {
		switch id {
		case 1:
			if strings.HasPrefix(d.model.name, "ST") {
				set(1, r.between(70, 84), r.between(1_000_000, 244_000_000))
			} else {
				set(1, 100, 0)
			}
		case 5:
			if bad || d.fails >= 0 {
				set(5, 98, 16+8*int64(day))
			} else {
				set(5, 100, 0)
			}
		case 9:
			h := d.hours + 24*int64(day)
			set(9, max(1, 100-h/900), h)
		case 22:
			set(22, 100, 100)
		case 187, 197, 198:
			if d.fails >= 0 && day >= d.fails-1 {
				set(id, 93, int64(8*(1+day)))
			} else {
				set(id, 100, 0)
			}
		case 190, 194:
			t := baseTemp + int64(day%3)
			set(id, 100-t, t)
		case 193:
			set(193, 96, d.hours/7+int64(day))
		case 231, 233:
			set(id, 99, 0)
		case 220, 222:
			set(id, 100, d.hours/2)
		default:
			set(id, 100, own.between(0, 9))
		}
	}
	return c
}

// row is one line of a file: the cells that are not empty, as written.
type row struct {
	serial, model string
	cells         map[string]string
}

func (r row) line(names []string) string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = r.cells[n]
	}
	return strings.Join(out, ",")
}

// writeDriveStats writes a week of daily files across a change of schema, the
// rows of a few drives, and sums over each day.
func writeDriveStats(out *output) error {
	drives := fleet()
	order := newRandom(7)
	var twins, days bytes.Buffer
	for day := range fleetDays {
		date := firstDay.AddDate(0, 0, day)
		text := date.Format(time.DateOnly)
		names := columns(smart2018q2)
		if date.Month() == time.October {
			names = columns(smart2018q4)
		}
		var rows []row
		for i, d := range drives {
			if day < d.joins || d.fails >= 0 && day > d.fails || d.vanishes >= 0 && day >= d.vanishes {
				continue
			}
			values := d.cells(day)
			switch {
			case i == 0 && day == 2:
				values["smart_1_raw"] = 4294967295 // all 32 bits
			case i == 0 && day == 4:
				values["smart_188_raw"] = 281474976710655 // all 48 bits
			case i == 3 && day == 1:
				values["capacity_bytes"] = -1 // the drive did not answer
			case i == 3 && day == 2:
				values["capacity_bytes"] = 600332565813390450
			}
			cells := map[string]string{"date": text, "serial_number": d.serial, "model": d.model.name}
			for k, v := range values {
				cells[k] = fmt.Sprint(v)
			}
			rows = append(rows, row{d.serial, d.model.name, cells})
		}
		if day >= 2 {
			// Rows come in no particular order.
			for i := len(rows) - 1; i > 0; i-- {
				j := order.below(i + 1)
				rows[i], rows[j] = rows[j], rows[i]
			}
		}
		eol := "\n"
		if day == 1 || day == 6 {
			eol = "\r\n"
		}
		var file strings.Builder
		file.WriteString(strings.Join(names, ",") + eol)
		for _, r := range rows {
			file.WriteString(r.line(names) + eol)
			if r.serial == drives[0].serial || r.serial == drives[17].serial || r.serial == drives[len(drives)-1].serial {
				twins.Write(r.twin(names))
			}
		}
		days.Write(daySums(text, rows, len(names)))
		name, data := "drivestats/"+text+".csv", []byte(file.String())
		switch day {
		case 4:
			name, data = name+".gz", gzipped(data)
		case 5:
			name, data = name+".zst", zstandard(data)
		}
		if err := out.write(name, data); err != nil {
			return err
		}
	}
	if err := out.write("drivestats/expected/drives.ndjson", twins.Bytes()); err != nil {
		return err
	}
	return out.write("drivestats/expected/days.ndjson", days.Bytes())
}

// twin is the JSON of a row; empty cells are left out.
func (r row) twin(names []string) []byte {
	b := []byte("{")
	for _, n := range names {
		v, ok := r.cells[n]
		if !ok {
			continue
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(appendJSON(b, n), ':')
		switch n {
		case "date", "serial_number", "model", "datacenter", "cluster_id", "vault_id", "pod_id":
			b = appendJSON(b, v)
		default:
			b = append(b, v...)
		}
	}
	return append(b, "}\n"...)
}

// daySums is a line of totals over all rows of a file.
func daySums(date string, rows []row, columns int) []byte {
	var failures, cells int
	var hours, capacity, temperature int64
	for _, r := range rows {
		cells += len(r.cells)
		if r.cells["failure"] == "1" {
			failures++
		}
		hours += number(r.cells["smart_9_raw"])
		temperature += number(r.cells["smart_194_raw"])
		capacity += number(r.cells["capacity_bytes"])
	}
	return fmt.Appendf(nil, `{"date":%q,"columns":%d,"rows":%d,"failures":%d,"cells":%d,"smart_9_raw":%d,"smart_194_raw":%d,"capacity_bytes":%d}`+"\n",
		date, columns, len(rows), failures, cells, hours, temperature, capacity)
}

func number(s string) int64 {
	if s == "" {
		return 0
	}
	var n int64
	if _, err := fmt.Sscan(s, &n); err != nil {
		panic(err)
	}
	return n
}

func gzipped(data []byte) []byte {
	var buf bytes.Buffer
	w, err := gzip.NewWriterLevel(&buf, gzip.BestCompression)
	if err != nil {
		panic(err)
	}
	if _, err := w.Write(data); err != nil {
		panic(err)
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return buf.Bytes()
}

func zstandard(data []byte) []byte {
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		panic(err)
	}
	return w.EncodeAll(data, nil)
}
