package fleet

import (
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zip"
)

// TestHeaders: the number of columns of each layout, their order, and, where
// there are real ones, the headers themselves.
func TestHeaders(t *testing.T) {
	widths := []int{85, 95, 105, 109, 129, 131, 149, 169, 179, 186, 193, 197}
	for i, day := range Eras() {
		h := Header(day)
		if len(h) != widths[i] {
			t.Errorf("%s: %d columns, want %d", day, len(h), widths[i])
		}
		if i > 0 && len(Header(day-1)) != widths[i-1] {
			t.Errorf("%s: the day before has %d columns", day, len(Header(day-1)))
		}
	}
	dir := os.Getenv("DRIVEMILL_CONFORMANCE")
	if dir == "" {
		t.Skip("DRIVEMILL_CONFORMANCE is not set")
	}
	files, err := filepath.Glob(filepath.Join(dir, "drive_stats", "headers", "*.csv"))
	if err != nil || len(files) != len(widths) {
		t.Fatalf("%d headers, %v", len(files), err)
	}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		day, err := ParseDay(strings.TrimPrefix(filepath.Base(f), "from_")[:10])
		if err != nil {
			t.Fatal(err)
		}
		if got, want := strings.Join(Header(day), ","), strings.TrimSpace(string(data)); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", day, got, want)
		}
	}
}

// TestFiles writes a fleet and counts it again from its files.
func TestFiles(t *testing.T) {
	c := Config{Seed: 7, From: Date(2023, 6, 25), To: Date(2023, 7, 5), Models: Catalog(900, 200)}
	for i := range c.Models {
		c.Models[i].Rate.Steady *= 50
	}
	f, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	want := f.Count(nil)
	var got Facts
	failed := map[string]bool{}
	for day := c.From; day <= c.To; day++ {
		var buf bytes.Buffer
		n, err := f.WriteDay(&buf, day, Layout{})
		if err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(&buf).ReadAll() // all rows are as wide as the header
		if err != nil || n != len(rows)-1 {
			t.Fatal(n, len(rows), err)
		}
		if !slices.Equal(rows[0], Header(day)) {
			t.Errorf("%s: header %v", day, rows[0])
		}
		for _, r := range rows[1:] {
			if r[0] != day.String() || failed[r[1]] {
				t.Fatalf("%s: row %v", day, r[:5])
			}
			if r[4] == "1" {
				failed[r[1]] = true
				got.Failures++
			}
		}
		got.DriveDays += int64(n)
		got.Drives = n
	}
	if got != want || want.Failures == 0 || len(f.Drives) <= want.Drives {
		t.Errorf("the files have %+v, the fleet %+v of %d", got, want, len(f.Drives))
	}
}

// TestColumns: columns in any order, lines that end otherwise.
func TestColumns(t *testing.T) {
	f, err := New(Config{Seed: 1, From: Date(2013, 4, 10), To: Date(2013, 4, 10), Models: Catalog(20, 1)})
	if err != nil {
		t.Fatal(err)
	}
	var a, b bytes.Buffer
	f.WriteDay(&a, f.From, Layout{})
	f.WriteDay(&b, f.From, Layout{Columns: []string{"foo_bar", "smart_9_raw", "model", "smart_9_normalized", "date", "nothing"}, LineEnd: "\r\n"})
	all, _ := csv.NewReader(&a).ReadAll()
	for i, line := range strings.Split(strings.TrimSuffix(b.String(), "\r\n"), "\r\n")[1:] {
		row := all[i+1]
		if want := "," + row[slices.Index(all[0], "smart_9_raw")] + "," + row[2] + ",," + row[0] + ","; line != want || row[slices.Index(all[0], "smart_9_normalized")] != "" {
			t.Errorf("%q, want %q", line, want)
		}
	}
}

// TestPublishedQ3 counts the fleet of the third quarter of 2021.
func TestPublishedQ3(t *testing.T) {
	f, err := New(PublishedQ3(3))
	if err != nil {
		t.Fatal(err)
	}
	inTable := map[string]bool{}
	for _, m := range f.Models[:len(q3)] {
		inTable[m.Name] = true
	}
	for name, c := range map[string]struct {
		keep func(*Model) bool
		want Facts
	}{
		"table":   {func(m *Model) bool { return inTable[m.Name] }, Facts{Q3Drives, Q3Failures, Q3DriveDays}},
		"data":    {func(m *Model) bool { return !m.Boot }, Facts{Drives: 191_212}},
		"all":     {nil, Facts{Drives: 194_749}},
		"removed": {func(m *Model) bool { return !m.Boot && !inTable[m.Name] }, Facts{Drives: Q3Removed}},
		"SSD":     {func(m *Model) bool { return m.Boot && slices.Equal(m.Smart, solid) }, Facts{Drives: Q3BootSSD}},
		"HDD":     {func(m *Model) bool { return m.Boot && !slices.Equal(m.Smart, solid) }, Facts{Drives: Q3BootHDD}},
	} {
		got := f.Count(c.keep)
		if c.want.DriveDays == 0 {
			got.Failures, got.DriveDays = 0, 0
		}
		if got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
	one := []string{"HGST HUH728080ALE600", "ST6000DX000", "TOSHIBA MD04ABA400V", "TOSHIBA MG07ACA14TEY", "WDC WUH721816ALE6L0"}
	for i := range f.Models[:len(q3)] {
		m := &f.Models[i]
		got := f.Count(func(n *Model) bool { return n == m })
		if got != *m.Facts || got.Drives < 60 {
			t.Errorf("%s: %+v, want %+v", m.Name, got, *m.Facts)
		}
		if single := slices.Contains(one, m.Name); single != (got.Failures == 1) || single && got.DriveDays > 100_256 || (got.Failures == 0) != (m.Name == "HGST HUH721212ALE600") {
			t.Errorf("%s: %+v", m.Name, got)
		}
		var hours, n float64
		for _, d := range f.Drives {
			if d.Model == m && d.Present(f.To) {
				hours, n = hours+float64(d.Hours(f.To)), n+1
			}
		}
		months := math.Round(hours/n/730.5*10) / 10
		if want := map[string]float64{"ST6000DX000": 77.8, "TOSHIBA MD04ABA400V": 75.6}[m.Name]; want != 0 && months != want {
			t.Errorf("%s: %.1f months, want %.1f", m.Name, months, want)
		}
	}
}

func TestContradictions(t *testing.T) {
	for _, facts := range []Facts{{5, 0, 1}, {5, 0, 51}, {-1, 0, 0}} {
		_, err := New(Config{From: 0, To: 9, Models: []Model{{Name: "A", Drives: 5, Facts: &facts}}})
		if err == nil {
			t.Errorf("%+v can be", facts)
		}
	}
	if _, err := New(Config{From: 1, To: 0}); err == nil {
		t.Error("a period without days")
	}
}

// TestSameBytes: the seed alone decides.
func TestSameBytes(t *testing.T) {
	sum := func(seed uint64) string {
		c := Config{Seed: seed, Models: Catalog(40, 91)}
		c.From, c.To = Quarter(2018, 1)
		f, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		h := sha256.New()
		if n, err := f.WriteZip(h, f.From, f.From+3, ZipLayout{Folder: "data_Q1_2018/", Junk: true}); err != nil || n < 100 {
			t.Fatal(n, err)
		}
		return hex.EncodeToString(h.Sum(nil))
	}
	if first, again := sum(1), sum(1); first != again || first == sum(2) {
		t.Error("the bytes do not follow from the seed")
	}
}

func TestZip(t *testing.T) {
	f, err := New(Config{Seed: 2, From: Date(2014, 1, 1), To: Date(2014, 1, 20), Models: Catalog(5, 20)})
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	if _, err := f.WriteZip(&buf, f.From, f.To, ZipLayout{Folder: "2014/", Junk: true}); err != nil {
		t.Fatal(err)
	}
	z, err := zip.NewReader(bytes.NewReader(buf.Bytes()), int64(buf.Len()))
	if err != nil || len(z.File) != 23 {
		t.Fatal(len(z.File), err)
	}
	var names []string
	for _, m := range z.File[3:] {
		names = append(names, m.Name)
	}
	if slices.IsSorted(names) {
		t.Error("members are in order of time")
	}
}

// TestWriteError: an error of the writer comes back.
func TestWriteError(t *testing.T) {
	f, err := New(Config{From: 16000, To: 16000, Models: Catalog(3000, 1)})
	if err != nil {
		t.Fatal(err)
	}
	r, w := io.Pipe()
	r.Close()
	if _, err := f.WriteDay(w, f.From, Layout{}); !errors.Is(err, io.ErrClosedPipe) {
		t.Error(err)
	}
}

func BenchmarkWriteDay(b *testing.B) {
	f, err := New(Config{Seed: 1, From: Date(2022, 10, 1), To: Date(2022, 10, 1), Models: Catalog(20_000, 1)})
	if err != nil {
		b.Fatal(err)
	}
	var buf bytes.Buffer
	b.ReportAllocs()
	for b.Loop() {
		buf.Reset()
		if n, err := f.WriteDay(&buf, f.From, Layout{}); n < 19_000 || err != nil {
			b.Fatal(n, err)
		}
	}
	b.SetBytes(int64(buf.Len()))
	b.ReportMetric(float64(buf.Len())/20_000, "B/row")
}
