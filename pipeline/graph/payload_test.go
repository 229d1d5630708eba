package graph

import (
	"slices"
	"strings"
	"testing"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/config"
)

func payloadTable(more ...arrow.Field) *pipeline.Table {
	mark := pipeline.FieldMeta(pipeline.MetaMaxBytes, "16")
	short := arrow.NewMetadata(append(mark.Keys(), pipeline.MetaPayload), append(mark.Values(), ""))
	return &pipeline.Table{Name: "/cam", Schema: arrow.NewSchema(append([]arrow.Field{
		{Name: "data", Type: arrow.BinaryType, Metadata: arrow.NewMetadata([]string{pipeline.MetaPayload}, []string{""})},
		{Name: "uuid", Type: arrow.BinaryType, Metadata: short},
		{Name: "plain", Type: arrow.BinaryType},
	}, more...), nil)}
}

func inputWith(all config.Payloads, keys ...config.Payloads) *config.Input {
	in := &config.Input{Name: "in", Payloads: all}
	for i, p := range keys {
		key := pipeline.Text{Value: string(rune('a' + i))}
		spec := in.Tables.AddEntry(key).(*config.TableSpec)
		*spec = config.TableSpec{Match: pipeline.Text{Value: "/cam"}, Payloads: p}
	}
	return in
}

// Which columns stand beside a payload is declared, and does not depend on data.
func TestPayloadColumns(t *testing.T) {
	refer := "data data.uri data.offset data.inner_offset data.size data.sha256 uuid plain"
	for _, tc := range []struct {
		all, key config.Payloads
		table    *pipeline.Table
		want     string
		mark     string
	}{
		{want: refer, mark: "reference:65536"},
		{all: config.Payloads{Policy: "inline"}, want: "data uuid plain"},
		{all: config.Payloads{Policy: "drop"}, want: "data data.size uuid plain", mark: "drop:65536"},
		{all: config.Payloads{Policy: "inline"}, key: config.Payloads{Policy: "reference", Above: 100}, want: refer, mark: "reference:100"},
		{all: config.Payloads{Policy: "drop", Above: 8}, want: "data data.size uuid uuid.size plain", mark: "drop:8"},
		// A name that is taken: no reference, and so the bytes.
		{table: payloadTable(arrow.Field{Name: "data.size", Type: arrow.Int64Type}), want: "data uuid plain data.size"},
	} {
		if tc.table == nil {
			tc.table = payloadTable()
		}
		list, err := StreamTables(inputWith(tc.all, tc.key), []*pipeline.Table{tc.table}, nil)
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Join(list[0].Stream.ColumnNames(), " ")
		mark, _ := list[0].Stream.Schema.Field(0).Metadata.GetValue(pipeline.MetaPayload)
		if got != tc.want || mark != tc.mark || len(list[0].From) != len(list[0].Stream.ColumnNames()) {
			t.Errorf("%+v %+v: %s, marked %q\nwant %s, %q", tc.all, tc.key, got, mark, tc.want, tc.mark)
		}
		if want := tc.table.ColumnNames(); !slices.Equal(list[0].Columns, want) {
			t.Errorf("decodes %v, want %v", list[0].Columns, want)
		}
	}
}

// Two keys of one table must agree; one that wants all inline asks for bytes.
func TestPayloadsOfTwoKeys(t *testing.T) {
	table := payloadTable()
	_, err := StreamTables(inputWith(config.Payloads{}, config.Payloads{Policy: "reference", Above: 1 << 20}, config.Payloads{Policy: "drop"}), []*pipeline.Table{table}, nil)
	if err == nil || !strings.Contains(err.Error(), "tables a and b both match /cam, but one says reference:1048576 of its payloads and the other drop:65536") {
		t.Errorf("%v", err)
	}
	list, err := StreamTables(inputWith(config.Payloads{}, config.Payloads{}, config.Payloads{Policy: "inline"}), []*pipeline.Table{table}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := pipeline.PayloadSelection{Column: "data", Policy: pipeline.ReferPayloads, Above: 64 << 10, Bytes: true}
	if got := (&BoundSource{Tables: list}).Payloads("/cam"); !slices.Equal(got, []pipeline.PayloadSelection{want}) {
		t.Errorf("asks for %+v", got)
	}
	want.Bytes = false
	if got := (&BoundSource{Tables: list[:1]}).Payloads("/cam"); !slices.Equal(got, []pipeline.PayloadSelection{want}) {
		t.Errorf("asks for %+v", got)
	}
}
