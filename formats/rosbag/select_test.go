package rosbag

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/drivemill/drivemill/pipeline"
)

// A topic in one chunk of a hundred, and a hundredth of the time, cost the
// chunks that hold them and a tenth more at most.
func TestSelectionBytes(t *testing.T) {
	b := &bag{}
	b.connect(0, "/bulk")
	b.connect(1, "/rare")
	for i := range uint32(300) {
		for k := range uint32(10) {
			b.write(0, at(10*i+k, 0), strings.Repeat("bulk", 1000))
		}
		if i%100 == 50 {
			b.write(1, at(10*i+9, 1), "rare")
		}
		b.endChunk()
	}
	data := b.closed()
	chunk := int64(len(data) / 300)
	for _, tc := range []struct {
		name         string
		tables       []string
		from, to     int64
		chunks, rows int
	}{
		{"topic", []string{"/rare"}, 0, 0, 3, 3},
		{"time", []string{"/bulk", "/rare"}, 1000e9, 1030e9, 3, 30},
		{"both", []string{"/rare"}, 1400e9, 1600e9, 1, 1},
		{"nothing", []string{"/rare"}, 5000e9, 0, 0, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			src := inMemory(data)
			d, err := New().Describe(t.Context(), src)
			if err != nil {
				t.Fatal(err)
			}
			sel := pipeline.Selection{From: tc.from, To: tc.to}
			for _, info := range d.Tables {
				for _, name := range tc.tables {
					if info.Table.Name == name {
						sel.Tables = append(sel.Tables, pipeline.TableSelection{Table: info.Table})
					}
				}
			}
			bytes, reads := src.bytes.Load(), src.reads.Load()
			r := decode(t, src, d, sel, pipeline.DecodeOptions{Workers: 2})
			bytes, reads = src.bytes.Load()-bytes, src.reads.Load()-reads
			if len(r.rows) != tc.rows || bytes > int64(tc.chunks)*chunk*11/10 || reads > int64(tc.chunks) {
				t.Errorf("%d rows, want %d; %d bytes in %d reads for %d chunks of %d", len(r.rows), tc.rows, bytes, reads, tc.chunks, chunk)
			}
		})
	}
}

// Who asked is told before a bag is scanned, and not when it has an index.
func TestScanNotice(t *testing.T) {
	var told []string
	ctx := pipeline.WithScanNotice(t.Context(), func(o pipeline.Object) { told = append(told, fmt.Sprint(o.URI, " ", o.Size)) })
	closed, open := (&bag{}).drive().closed(), (&bag{}).drive().unclosed()
	for _, data := range [][]byte{closed, open} {
		if _, err := New().Describe(ctx, inMemory(data)); err != nil {
			t.Fatal(err)
		}
	}
	equal(t, "scans", told, []string{fmt.Sprint("mem://drive.bag ", len(open))})
	pipeline.NoteScan(context.Background(), pipeline.Object{}) // nobody asked
}
