package rosbag2

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/drivemill/drivemill/formats/message/cdr"
	"github.com/drivemill/drivemill/formats/rosbag2/bagtest"
	"github.com/drivemill/drivemill/pipeline"
)

// latchedFiles are three databases, with a latched topic of which the last row
// before time 2500 lies in the second file, and one of which it lies in the
// first. Messages are long, so that rows lie on pages of their own as well.
func latchedFiles() []*bagtest.DB {
	out := make([]*bagtest.DB, 3)
	for i := range out {
		d := &bagtest.DB{Topics: []bagtest.Topic{
			{Name: "/odom", Type: "std_msgs/msg/String"},
			{Name: "/map", Type: "std_msgs/msg/String", QoS: "- history: 1\n  durability: 1\n"},
			{Name: "/tf_static", Type: "std_msgs/msg/String", QoS: "- durability: transient_local\n"},
		}, Distro: "jazzy"}
		for k := range 100 {
			at := int64(1000*i + 10*k)
			d.Messages = append(d.Messages, bagtest.Message{Topic: 0, Time: at, Data: text(strings.Repeat("o", 300))})
			name := ""
			switch at {
			case 100, 1800, 2600:
				name = fmt.Sprint("map ", at)
			case 1500:
				name = "older " + strings.Repeat("map", 5000)
			}
			if name != "" {
				d.Messages = append(d.Messages, bagtest.Message{Topic: 1, Time: at + 1, Data: text(name)})
			}
			if at == 300 || at == 400 {
				d.Messages = append(d.Messages, bagtest.Message{Topic: 2, Time: 300, Data: text(fmt.Sprint("static ", at))})
			}
		}
		out[i] = d
	}
	return out
}

// The last row before a range comes once per recording, not once per file.
func TestLatched(t *testing.T) {
	kinds := map[string]func(d *bagtest.DB) (string, []byte){
		"sqlite":          func(d *bagtest.DB) (string, []byte) { return "db3", d.Bytes() },
		"without index":   func(d *bagtest.DB) (string, []byte) { d.NoIndex = true; return "db3", d.Bytes() },
		"mcap":            func(d *bagtest.DB) (string, []byte) { return "mcap", mcapFile(t, d, nil) },
		"file compressed": func(d *bagtest.DB) (string, []byte) { return "db3.zstd", pack(d.Bytes()) },
		"message compressed": func(d *bagtest.DB) (string, []byte) {
			for i := range d.Messages {
				d.Messages[i].Data = pack(d.Messages[i].Data)
			}
			return "db3", d.Bytes()
		},
	}
	for name, write := range kinds {
		t.Run(name, func(t *testing.T) {
			all, dbs := make(map[string][]byte), make(map[string]*bagtest.DB)
			for i, d := range latchedFiles() {
				ext, data := write(d)
				name := fmt.Sprintf("x_%d.%s", i, ext)
				all[name], dbs[name] = data, d
			}
			if name == "mcap" {
				all[MetadataFile] = []byte(strings.Replace(string(meta(5, dbs, "")), "sqlite3", "mcap", 1))
			}
			f := New(cdr.Encoding{})
			f.block = 2048
			src := bag(t, all)
			d, err := f.Describe(t.Context(), src)
			if err != nil {
				t.Fatal(err)
			}
			for _, order := range []pipeline.Order{pipeline.StorageOrder, pipeline.LogOrder} {
				for _, latched := range []bool{true, false} {
					sel := pipeline.Selection{From: 2500, To: 2700, Order: order}
					for _, i := range d.Tables {
						if i.Latched != (i.Table.Name != "/odom") {
							t.Errorf("%s latched is %v", i.Table.Name, i.Latched)
						}
						sel.Tables = append(sel.Tables, pipeline.TableSelection{Table: i.Table, Latched: latched && i.Latched})
					}
					r := decode(t, f, src, d, sel, pipeline.DecodeOptions{Workers: 2})
					noLoss(t, r)
					var got []string
					for _, x := range append(r.of("/map"), r.of("/tf_static")...) {
						got = append(got, x.cells[strings.LastIndex(x.cells, "data=")+5:])
					}
					want := []string{"map 1800", "map 2600", "static 400"}
					if !latched {
						want = want[1:2]
					}
					if !slices.Equal(got, want) || len(r.of("/odom")) != 20 {
						t.Errorf("order %v, latched %v: %.200q, %d of /odom", order, latched, got, len(r.of("/odom")))
					}
				}
			}
		})
	}
}
