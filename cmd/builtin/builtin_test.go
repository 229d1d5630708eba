package builtin_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"testing"

	"github.com/drivemill/drivemill/cmd/builtin"
	"github.com/drivemill/drivemill/formats/parquet"
	"github.com/drivemill/drivemill/formats/rosbag2/bagtest"
	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/explore"
	"github.com/drivemill/drivemill/pipeline/pipetest"
	"github.com/drivemill/drivemill/pipeline/store"
)

const root = "../.."

// samples are the files of testdata, and the format that must claim each.
var samples = []struct {
	glob, format string
	magic        bool
}{
	{"testdata/drives/*/*/*.bag", "rosbag", true},
	{"testdata/drives/*/*/*.mcap", "mcap", true},
	{"testdata/sensors/*/*/*.mcap", "mcap", true},
	{"testdata/drives/*/*/*/*.db3.zstd", "rosbag2", false},
	{"testdata/broken/*.bag", "rosbag", true},
	{"testdata/broken/*.mcap", "mcap", true},
	{"testdata/drivestats/*-09-29.csv*", "drivestats", false}, // two widths, gzip and zstd
	{"testdata/drivestats/*-10-0[234].csv*", "drivestats", false},
	{"testdata/broken/drivestats/20*.csv", "drivestats", false},
	{"testdata/weather/*.csv", "csv", false},
	{"testdata/mdf4/*.mf4", "mdf4", true},
}

func TestFormats(t *testing.T) {
	var list []pipetest.Sample
	for _, s := range samples {
		files, err := filepath.Glob(filepath.Join(root, s.glob))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", s.glob, len(files), err)
		}
		for _, f := range files {
			data, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			x := pipetest.Sample{Name: filepath.Base(filepath.Dir(f)) + "/" + filepath.Base(f), Data: data, Format: s.format, Magic: s.magic, Unframed: !s.magic, Cuts: 200}
			if len(data) > 48<<10 {
				x.Cuts = 30
			}
			list = append(list, x)
		}
	}
	for name, table := range map[string]string{"state.parquet": "/vehicle/state", "diagnostics.parquet": "/diagnostics"} {
		list = append(list, pipetest.Sample{Name: name, Data: parquetFile(t, table), Format: "parquet", Magic: true, Cuts: 200})
	}
	for _, pageSize := range []int{4096, 65536} {
		name := fmt.Sprintf("pages_of_%d.db3", pageSize)
		list = append(list, pipetest.Sample{Name: name, Data: database(pageSize), Format: "rosbag2", Magic: true, Cuts: 200})
	}
	pipetest.Formats(t, builtin.Registry(), list)
}

// database is a rosbag2 recording of three topics, with messages of which some
// go over several pages.
func database(pageSize int) []byte {
	db := &bagtest.DB{PageSize: pageSize, Distro: "humble", Topics: []bagtest.Topic{
		{Name: "/talk", Type: "std_msgs/msg/String"}, {Name: "/quiet", Type: "std_msgs/msg/Empty"}, {Name: "/raw", Type: "no_msgs/msg/Type"},
	}}
	for i := range 400 {
		n := i % 11
		if i%50 == 7 {
			n = 9000
		}
		data := binary.LittleEndian.AppendUint32([]byte{0, 1, 0, 0}, uint32(n+1))
		data = append(append(data, bytes.Repeat([]byte{byte('a' + i%26)}, n)...), 0)
		db.Messages = append(db.Messages, bagtest.Message{Topic: i % 2 * 2, Time: 1e18 + int64(i/2^1)*1e6, Data: data})
	}
	return db.Bytes()
}

// parquetFile writes a table of the sample drive as a Parquet file.
func parquetFile(t *testing.T, table string) []byte {
	t.Helper()
	ctx := t.Context()
	st, err := store.Open(ctx, filepath.Join(root, "testdata", "drives"))
	if err != nil {
		t.Fatal(err)
	}
	obj, err := st.Stat(ctx, path.Join("v02", "20260302T081500Z", "roof.mcap"))
	if err != nil {
		t.Fatal(err)
	}
	src, err := st.Open(ctx, obj)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	_, err = explore.Cat(ctx, src, &out, explore.CatOptions{Registry: builtin.Registry(), Tables: []string{table}, Output: "parquet",
		Parquet: func(w io.Writer, t *pipeline.Table) (explore.ParquetWriter, error) {
			return parquet.NewWriter(w, t, parquet.WriterOptions{Mapping: parquet.Mapping{SourceTypes: true, SourceNames: true}, RowGroupRows: 100})
		}})
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
