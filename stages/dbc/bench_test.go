package dbc

import (
	"fmt"
	"strings"
	"testing"

	candb "github.com/drivemill/drivemill/formats/dbc"
	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
	"github.com/drivemill/drivemill/stages/internal/rowtest"
)

// benchDatabase has messages of eight signals: both byte orders, signs,
// factors, a table of texts.
func benchDatabase(messages int) string {
	var b strings.Builder
	for m := range messages {
		fmt.Fprintf(&b, "BO_ %d M%d: 8 X\n", 256+m%1700+m/1700<<31+m/1700<<11, m)
		for s, place := range []string{"0|16@1+ (0.25,0)", "23|12@0- (0.1,-40)", "24|4@1+ (1,0)", "32|8@1- (1,0)", "47|10@0+ (0.5,0)", "48|6@1+ (1,0)", "56|1@1+ (1,0)", "57|7@1+ (0.01,0)"} {
			fmt.Fprintf(&b, " SG_ S%d : %s [0|0] \"u\" X\n", s, place)
		}
		fmt.Fprintf(&b, "VAL_ %d S6 0 \"off\" 1 \"on\";\n", 256+m%1700+m/1700<<31+m/1700<<11)
	}
	return b.String()
}

// benchTable is what frames need and no more.
var benchTable = rowtest.Table("can", rowtest.F("ts", arrow.TimeType, pipeline.MetaRole, pipeline.RoleTime), rowtest.F("id", arrow.Uint32Type),
	rowtest.F("ide", arrow.Uint8Type), rowtest.F("data_length", arrow.Uint8Type), rowtest.F("data_bytes", arrow.BinaryType))

const benchRows = 64 << 10

// benchBatch has frames of the first 25 messages of a database in turn.
func benchBatch(mem arrow.Allocator) arrow.Record {
	cols := make([]*column.Column, benchTable.Schema.NumFields())
	for i, f := range benchTable.Schema.Fields() {
		cols[i] = column.New(mem, f.Type)
	}
	for i := range benchRows {
		cols[0].AppendInt64(int64(i) * 1000)
		cols[1].AppendInt32(int32(256 + i%25))
		cols[2].AppendFixed([]byte{0})
		cols[3].AppendFixed([]byte{8})
		cols[4].AppendBytes([]byte{byte(i), byte(i >> 8), byte(i * 7), byte(i * 3), byte(i), 1, byte(i >> 3), byte(i)})
	}
	arrs := make([]arrow.Array, len(cols))
	for i, c := range cols {
		arrs[i] = c.Finish()
		defer arrs[i].Release()
	}
	return arrow.NewRecord(benchTable.Schema, arrs, benchRows)
}

// 39: frames of 25 messages with 200 signals, decoded by column. A database of
// 4,000 messages must cost no more than one of 25; a signal or two must cost
// less than all of them.
func BenchmarkFrames(b *testing.B) {
	few := func(t *pipeline.Table) []bool {
		need := make([]bool, t.Schema.NumFields())
		for i, f := range t.Schema.Fields() {
			need[i] = f.Name == "S0"
		}
		return need
	}
	for _, c := range []struct {
		name     string
		messages int
		needed   func(*pipeline.Table) []bool
	}{{"25 messages", 25, nil}, {"4000 messages", 4000, nil}, {"one signal of 8", 25, few}} {
		b.Run(c.name, func(b *testing.B) {
			files["bench.dbc"] = benchDatabase(c.messages)
			bound := bind(b, settings(database("bench.dbc", nil)), benchTable)
			mem := column.NewPool(arrow.NewGoAllocator(), 64<<20)
			p, err := bound.Open(pipeline.ProcessOptions{Allocator: mem, Needed: c.needed})
			if err != nil {
				b.Fatal(err)
			}
			defer p.Close()
			rec := benchBatch(mem)
			defer rec.Release()
			b.SetBytes(8 * benchRows)
			b.ReportAllocs()
			for b.Loop() {
				rows := 0
				var acct pipeline.Account
				rec.Retain()
				err := p.Process(b.Context(), &pipeline.Batch{Table: benchTable, Record: rec}, &acct, func(e pipeline.Element) error {
					rows += e.Batch.Rows()
					e.Batch.Release()
					return nil
				})
				if err != nil || rows != benchRows {
					b.Fatal(err, rows)
				}
			}
			b.ReportMetric(float64(benchRows)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mframes/s")
		})
	}
}

// BenchmarkReference decodes the same frames one by one, as a plain decoder
// does: find the message, then loop over its signals and bits.
func BenchmarkReference(b *testing.B) {
	db, err := candb.Parse("bench.dbc", []byte(benchDatabase(25)))
	if err != nil {
		b.Fatal(err)
	}
	byID := make(map[uint32]*candb.Message)
	for _, m := range db.Messages {
		byID[m.ID] = m
	}
	rec := benchBatch(arrow.NewGoAllocator())
	ids, data := rec.Column(1).(*arrow.Uint32), rec.Column(4).(*arrow.Binary)
	b.SetBytes(8 * benchRows)
	b.ReportAllocs()
	for b.Loop() {
		out := make(map[*candb.Signal][]float64)
		n := 0
		for i := range benchRows {
			payload := data.Value(i)
			for _, s := range byID[ids.Value(i)].Signals {
				var raw uint64
				at := s.Start
				for k := range s.Length {
					bit := uint64(payload[at/8] >> (at % 8) & 1)
					switch {
					case !s.BigEndian:
						raw |= bit << k
						at++
					case at%8 == 0:
						raw, at = raw<<1|bit, at+15
					default:
						raw, at = raw<<1|bit, at-1
					}
				}
				v := float64(raw)
				if s.Signed {
					v = float64(int64(raw<<(64-s.Length)) >> (64 - s.Length))
				}
				out[s] = append(out[s], v*s.Factor+s.Offset)
				n++
			}
		}
		if n != 8*benchRows {
			b.Fatal(n)
		}
	}
	b.ReportMetric(float64(benchRows)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mframes/s")
}
