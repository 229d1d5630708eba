package drivestats

import (
	"bytes"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/drivemill/drivemill/pipeline"
)

// FuzzDecode holds the decoder against encoding/csv on what that accepts, and
// against itself on everything: all at once, and one row at a time from reads of
// a few bytes. It starts no goroutines, so that coverage does not flicker.
func FuzzDecode(f *testing.F) {
	for _, name := range []string{"2014-11-02.csv", "2018-02-25.csv", "2022-12-10.csv", "2024-02-29.csv", "joined.csv"} {
		data := load(f, "broken/drivestats/"+name).data
		f.Add(data)
		f.Add(gzipped(data))
	}
	f.Add([]byte(begin + "\r\n2024-01-01,\"a\"\"b\",c,-1,0\r\n,,,,\r\n\r\n2024-1-1,x,y,9223372036854775808,2\n\"2024-01-01\",\"\n,,,0\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		src := &memory{name: "2024-01-01.csv", data: data}
		one := decode(t, src, all, pipeline.DecodeOptions{NullCells: true})
		other := decode(t, &memory{name: src.name, data: data, step: 7}, all, pipeline.DecodeOptions{NullCells: true, BatchRows: 1})
		if (one.err == nil) != (other.err == nil) {
			t.Fatalf("%v, but row by row %v", one.err, other.err)
		}
		if one.err != nil {
			return
		}
		diff(t, one.names, other.rows, one.rows)
		if !slices.Equal(one.ordinals, other.ordinals) || len(one.bad) != len(other.bad) {
			t.Fatal("other rows were refused row by row")
		}
		if !plain(data) {
			return
		}
		names, want, fields, ok := oracle(src.name, data)
		if !ok {
			return
		}
		for _, row := range one.rows {
			for i := range row { // encoding/csv changes line ends inside quotes
				row[i] = strings.ReplaceAll(row[i], "\r\n", "\n")
			}
		}
		diff(t, names, one.rows, want)
		if len(one.bad) != fields {
			t.Fatalf("%d rows refused, want %d", len(one.bad), fields)
		}
	})
}

// plain reports whether encoding/csv and this package mean the same by data:
// carriage returns only before line feeds, no second header, and no name that
// needs mending.
func plain(data []byte) bool {
	if i := bytes.IndexByte(data, '\r'); i >= 0 && strings.Contains(strings.ReplaceAll(string(data), "\r\n", ""), "\r") {
		return false
	}
	line, rest, _ := bytes.Cut(data, []byte("\n"))
	h, err := parseHeader(bytes.TrimRight(withoutMark(line), "\r"))
	return err == nil && !bytes.Contains(rest, h.begin) && bytes.Count(line, []byte(`"`)) == 0 && string(line) == strings.ToValidUTF8(string(line), "?")
}

// TestNumbers holds the parsers of cells against strconv and time.
func TestNumbers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(
			rapid.StringMatching(`-?[0-9]{0,21}[ ,x.]?`),
			rapid.Custom(func(t *rapid.T) string { return strconv.FormatInt(rapid.Int64().Draw(t, "n"), 10) }),
			rapid.SampledFrom([]string{"-9223372036854775808", "9223372036854775807", "9223372036854775808", "-9223372036854775809", "18446744073709551616", "-", "--1", "00000000000000000000001"}),
		).Draw(t, "s")
		v, ok := parseInt([]byte(s))
		want, err := strconv.ParseInt(s, 10, 64)
		if ok != (err == nil) || ok && v != want {
			t.Fatalf("parseInt(%q) is %d, %v; want %d, %v", s, v, ok, want, err)
		}
		var w [8]byte
		copy(w[:], s+",,,,,,,,")
		text := string(w[:])
		n := strings.IndexFunc(text, func(r rune) bool { return r < '0' || r > '9' })
		if n < 0 {
			n = 8
		}
		var word uint64
		for i := 7; i >= 0; i-- {
			word = word<<8 | uint64(w[i])
		}
		x, _ := strconv.ParseUint("0"+text[:n], 10, 64)
		if got, m := digits(word); got != x || m != n {
			t.Fatalf("digits(%q) is %d of %d digits", text, got, m)
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(rapid.StringMatching(`[0-9]{4}-[01][0-9]-[0-3][0-9]`), rapid.SampledFrom([]string{"2000-02-29", "1900-02-29", "0000-03-01", "0000-01-01", "9999-12-31", "2/25/18", "2024-01-1x"})).Draw(t, "s")
		day, ok := parseDate([]byte(s))
		want, err := time.Parse(time.DateOnly, s)
		if ok != (err == nil) || ok && int64(day) != int64(math.Floor(float64(want.Unix())/86400)) {
			t.Fatalf("parseDate(%q) is %d, %v; want %v, %v", s, day, ok, want, err)
		}
	})
}
