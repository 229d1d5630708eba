package mdf4

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/drivemill/drivemill/formats/mdf4/conversion"
	"github.com/drivemill/drivemill/formats/mdf4/mdf4test"
	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// settings makes the format that a pipeline asks for.
func settings(t *testing.T, c Config) *Format {
	t.Helper()
	f, err := FormatSpec().Configure(t.Context(), &c, nil)
	if err != nil {
		t.Fatal(err)
	}
	return f.(*Format)
}

func TestLongLayout(t *testing.T) {
	on := "on"
	x := field("x", mdf4test.UnsignedLE, 8)
	x.Conversion = &conversion.Block{Type: 7, Values: []float64{1}, Refs: []conversion.Ref{{Text: &on}, {}}}
	y := &mdf4test.Channel{Name: "y", Data: mdf4test.SignedLE, Byte: 1, Bits: 16, Unit: "m", Conversion: &conversion.Block{Type: 1, Values: []float64{0, 0.5}}}
	z := &mdf4test.Channel{Name: "z", Data: mdf4test.UTF8, Byte: 3, Bits: 16}
	w := &mdf4test.Channel{Name: "w", Data: mdf4test.UnsignedLE, Byte: 5, Bits: 64}
	f := single([][]byte{mdf4test.LE(byte(1), int16(-3), "ab", uint64(1<<63)), mdf4test.LE(byte(2), int16(4), "c\x00", uint64(7))}, x, y, z, w)
	src := object(t, f.Bytes())
	format := settings(t, Config{Long: []pipeline.Text{{Value: "g"}}, Signals: true})
	r, err := read(t, format, src, pipeline.Selection{}, pipeline.DecodeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, n := range []string{"x", "y", "z", "w"} {
		ids = append(ids, fmt.Sprint(signalID("g", n)))
	}
	r.want(t, "signal_id", append(slices.Clone(ids), ids...)...)
	r.want(t, "time", slices.Concat(slices.Repeat([]string{"1000000000000000000"}, 4), slices.Repeat([]string{"1000000001000000000"}, 4))...)
	r.want(t, "value_double", "1", "-1.5", "null", "9.223372036854776e+18", "2", "2", "null", "7")
	r.want(t, "value_int", "1", "null", "null", "null", "2", "null", "null", "7")
	r.want(t, "value_text", "on", "null", "ab", "9223372036854775808", "null", "null", "c", "null")
	r.wantOf(t, "signals", "signal_id", ids...)
	r.wantOf(t, "signals", "column", "x", "y", "z", "w")
	r.wantOf(t, "signals", "unit", "null", "m", "null", "null")
	r.wantOf(t, "signals", "labels", `{"1":"on"}`, "null", "null", "null")
	r.wantOf(t, "signals", "rate", "1", "1", "1", "1")
	if r.desc.Tables[0].Rows != 8 || r.counts["g"].Found != 8 || r.counts["g"].Indexed != 8 {
		t.Errorf("%d rows described, counts %+v", r.desc.Tables[0].Rows, r.counts["g"])
	}
	for i := 1; i < len(r.tables["g"].origins); i++ {
		if r.tables["g"].origins[i] != r.tables["g"].origins[i-1]+1 {
			t.Errorf("origins %v", r.tables["g"].origins)
		}
	}
	for _, n := range []int{1, 3, 100} {
		for _, columns := range [][]string{{"signal_id"}, {"value_int", "time"}, {"value_text"}, {}} {
			sel := pipeline.Selection{Tables: []pipeline.TableSelection{{Table: r.desc.Tables[0].Table, Columns: columns}}}
			got, err := read(t, format, src, sel, pipeline.DecodeOptions{BatchRows: n})
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range columns {
				got.want(t, c, r.tables["g"].cells[c]...)
			}
			if !slices.Equal(got.tables["g"].origins, r.tables["g"].origins) {
				t.Errorf("batches of %d: origins %v", n, got.tables["g"].origins)
			}
		}
	}
	t.Run("beside a wide table of the same stream", func(t *testing.T) {
		f, _ := unsorted(50, true)
		wide := mustRead(t, f)
		format := settings(t, Config{Long: []pipeline.Text{{Value: "one"}}})
		for _, n := range []int{1, 7, 1000} {
			got, err := read(t, format, object(t, f.Bytes()), pipeline.Selection{}, pipeline.DecodeOptions{BatchRows: n, Steps: true})
			if err != nil {
				t.Fatal(err)
			}
			got.wantOf(t, "one", "value_text", wide.tables["one"].cells["s"]...)
			if !reflect.DeepEqual(got.tables["seven"].cells, wide.tables["seven"].cells) {
				t.Error("the wide table differs")
			}
		}
	})
	t.Run("mistakes", func(t *testing.T) {
		_, err := FormatSpec().Configure(t.Context(), &Config{TimeZone: pipeline.Text{Value: "Mars/Olympus"}}, nil)
		if err == nil || !strings.Contains(err.Error(), "Mars/Olympus") {
			t.Error(err)
		}
		if _, err = FormatSpec().Configure(t.Context(), &Config{Long: []pipeline.Text{{Value: "["}}}, nil); err == nil {
			t.Error("a pattern without end is taken")
		}
	})
}

// In order of time, groups that were stored one after the other are interleaved.
func TestLogOrder(t *testing.T) {
	f := &mdf4test.File{StartNS: 1e18}
	for k := range 3 {
		g := &mdf4test.Group{Name: fmt.Sprint("g", k), Channels: []*mdf4test.Channel{seconds()}}
		for i := range 100 {
			g.Records = append(g.Records, mdf4test.LE(float64(i)+float64(k)/10))
		}
		f.Groups = append(f.Groups, &mdf4test.DataGroup{Groups: []*mdf4test.Group{g}})
	}
	src := object(t, f.Bytes())
	format := New()
	d, err := format.Describe(t.Context(), src)
	if err != nil {
		t.Fatal(err)
	}
	dec, err := format.Open(t.Context(), src, d, pipeline.Selection{Order: pipeline.LogOrder, From: 1e18 + 10e9, To: 1e18 + 50e9}, pipeline.DecodeOptions{BatchRows: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	last, rows := int64(0), 0
	for {
		e, err := dec.Next(t.Context())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		at := int64(e.Batch.Record.Column(0).(*arrow.Timestamp).Value(0))
		if at < last {
			t.Errorf("%s: %d after %d", e.Batch.Table.Name, at, last)
		}
		last = at
		rows++
		e.Batch.Release()
	}
	if rows != 120 {
		t.Errorf("%d rows", rows)
	}
	for _, c := range dec.Counts() {
		if c.Found != 100 || c.Decoded != 40 || c.Unselected != 60 {
			t.Errorf("%+v", c)
		}
	}
}
