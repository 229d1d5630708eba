package builtin_test

import (
	"bytes"
	"io"
	"os"
	"path"
	"path/filepath"
	"testing"

	"github.com/drivemill/drivemill/cmd/builtin"
	"github.com/drivemill/drivemill/formats/parquet"
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
	pipetest.Formats(t, builtin.Registry(), list)
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
