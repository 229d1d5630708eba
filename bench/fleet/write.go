package fleet

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/zip"
)

// Layout is how a file is written.
type Layout struct {
	// Columns to write, in this order; nil writes the header of the day. Columns
	// nobody knows are empty.
	Columns []string
	// LineEnd of all lines; empty means LF.
	LineEnd string
}

// WriteDay writes the file of a day and returns the rows in it.
func (f *Fleet) WriteDay(w io.Writer, day Day, l Layout) (int, error) {
	if l.Columns == nil {
		l.Columns = Header(day)
	}
	if l.LineEnd == "" {
		l.LineEnd = "\n"
	}
	lines := make(map[*Model]*line, len(f.Models))
	for i := range f.Models {
		lines[&f.Models[i]] = newLine(&f.Models[i], day, l.Columns)
	}
	const full = 256 << 10
	buf := append(make([]byte, 0, full+16<<10), strings.Join(l.Columns, ",")+l.LineEnd...)
	rows := 0
	for d := range f.On(day) {
		buf = append(lines[d.Model].append(buf, d), l.LineEnd...)
		rows++
		if len(buf) >= full {
			if _, err := w.Write(buf); err != nil {
				return rows, err
			}
			buf = buf[:0]
		}
	}
	_, err := w.Write(buf)
	return rows, err
}

// ZipLayout is how the archive of a quarter is written.
type ZipLayout struct {
	Layout
	// Folder that the members lie in, with its slash; empty for none.
	Folder string
	// Junk adds what archivers and desktops leave behind.
	Junk bool
	// Level of deflate; 0 means 6, negative stores.
	Level int
}

// WriteZip writes the files of some days as members of a zip, which are in no
// order of time, and returns the rows in it.
func (f *Fleet) WriteZip(w io.Writer, from, to Day, l ZipLayout) (int64, error) {
	z := zip.NewWriter(w)
	var days []Day
	for d := from; d <= to; d++ {
		days = append(days, d)
	}
	shuffle(&random{mix(f.Seed + 1)}, days)
	method := zip.Deflate
	if l.Level < 0 {
		method = zip.Store
	}
	member := func(name string) (io.Writer, error) {
		return z.CreateHeader(&zip.FileHeader{Name: name, Method: method, Modified: time.Unix(0, 0).UTC()})
	}
	if l.Junk {
		for _, name := range []string{".DS_Store", "__MACOSX/" + l.Folder + "._" + from.String() + ".csv", l.Folder + "README.txt"} {
			m, err := member(name)
			if err != nil {
				return 0, err
			}
			if _, err := io.WriteString(m, "\x00\x05\x16\x07"); err != nil {
				return 0, err
			}
		}
	}
	var rows int64
	for _, d := range days {
		m, err := member(l.Folder + d.String() + ".csv")
		if err != nil {
			return rows, err
		}
		n, err := f.WriteDay(m, d, l.Layout)
		if rows += int64(n); err != nil {
			return rows, fmt.Errorf("writing %s: %w", d, err)
		}
	}
	return rows, z.Close()
}

// line writes the rows of one model: cells that are empty in all of them are
// commas put together beforehand.
type line struct {
	day   Day
	date  string
	cells []cell
	end   string // commas behind the last cell
}

type cell struct {
	before string // commas
	kind   cellKind
	id     int
}

type cellKind uint8

const (
	cellDate cellKind = iota
	cellSerial
	cellModel
	cellCapacity
	cellFailure
	cellDatacenter
	cellCluster
	cellVault
	cellPod
	cellPodSlot
	cellLegacy
	cellNormalized
	cellRaw
)

var named = map[string]cellKind{
	"date": cellDate, "serial_number": cellSerial, "model": cellModel, "capacity_bytes": cellCapacity, "failure": cellFailure,
	"datacenter": cellDatacenter, "cluster_id": cellCluster, "vault_id": cellVault, "pod_id": cellPod, "pod_slot_num": cellPodSlot,
	"is_legacy_format": cellLegacy,
}

func newLine(m *Model, day Day, columns []string) *line {
	l := &line{day: day, date: day.String()}
	commas := -1
	for _, name := range columns {
		commas++
		c := cell{}
		kind, ok := named[name]
		if !ok {
			kind, c.id, ok = attribute(name)
			ok = ok && slices.Contains(m.Smart, c.id) && (day >= detailed || early[c.id] && kind == cellRaw)
		}
		if !ok {
			continue
		}
		c.kind, c.before = kind, strings.Repeat(",", commas)
		l.cells = append(l.cells, c)
		commas = 0
	}
	l.end = strings.Repeat(",", max(0, commas))
	return l
}

// attribute reads the name of a SMART column.
func attribute(name string) (cellKind, int, bool) {
	rest, ok := strings.CutPrefix(name, "smart_")
	digits, part, _ := strings.Cut(rest, "_")
	id, err := strconv.Atoi(digits)
	if !ok || err != nil || id > 255 {
		return 0, 0, false
	}
	switch part {
	case "normalized":
		return cellNormalized, id, true
	case "raw":
		return cellRaw, id, true
	}
	return 0, 0, false
}

var sites = [...]string{"phx1", "sac0", "sac2", "iad1", "ams5"}

// append writes the row of a drive, without its end.
func (l *line) append(b []byte, d *Drive) []byte {
	const slots, pods = 60, 20 // of a pod and a vault
	vault := d.Slot / (slots * pods)
	number := func(v int64) { b = strconv.AppendInt(b, v, 10) }
	var id int
	var normalized, raw int64
	for _, c := range l.cells {
		b = append(b, c.before...)
		switch c.kind {
		case cellDate:
			b = append(b, l.date...)
		case cellSerial:
			b = append(b, d.Serial...)
		case cellModel:
			b = append(b, d.Model.Name...)
		case cellCapacity:
			number(d.Model.Capacity)
		case cellFailure:
			if d.FailsOn(l.day) {
				b = append(b, '1')
			} else {
				b = append(b, '0')
			}
		case cellDatacenter:
			if d.Slot < 0 || vault%17 != 3 { // some vaults do not tell
				b = append(b, sites[max(0, vault)%len(sites)]...)
			}
		case cellCluster:
			number(int64(max(0, vault) % 7 * 10))
		case cellVault:
			if d.Slot >= 0 {
				b = fmt.Appendf(b, "%04d", vault)
			}
		case cellPod:
			if d.Slot >= 0 {
				number(int64(d.Slot / slots % pods))
			}
		case cellPodSlot:
			if d.Slot >= 0 && !d.FailsOn(l.day) {
				number(int64(d.Slot % slots))
			}
		case cellLegacy:
			if l.day < Date(2026, 1, 1) {
				b = append(b, "False"...)
			} else {
				b = append(b, "false"...)
			}
		default:
			if c.id != id {
				id = c.id
				normalized, raw = d.smart(l.day, id)
			}
			if c.kind == cellRaw {
				number(raw)
			} else {
				number(normalized)
			}
		}
	}
	return append(b, l.end...)
}
