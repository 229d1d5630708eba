package parquet

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// Names of partition keys that are no columns.
const (
	keyDriveDate = "drive_date"
	keyMonth     = "month"
	dateColumn   = "date" // month is taken from it, where a table has it
)

// noValue is the directory of rows without a value, as Hive calls it.
const noValue = "__HIVE_DEFAULT_PARTITION__"

// partitionKey is one level of directories of a table.
type partitionKey struct {
	name   string // in the path
	column int    // -1: the same for the whole unit
	month  bool   // of a date
}

// newPartitionKey finds what a key of the configuration is in table t.
func newPartitionKey(t *pipeline.Table, k pipeline.Text) (partitionKey, error) {
	if i := t.Column(k.Value); i >= 0 && (k.Value == keyDriveDate || k.Value == keyMonth) && isText(t.Schema.Field(i).Type) {
		// A table read from a lake brings the keys of its partitions along.
		return partitionKey{name: k.Value, column: i}, nil
	}
	switch k.Value {
	case keyDriveDate:
		return partitionKey{name: keyDriveDate, column: -1}, nil
	case keyMonth:
		key := partitionKey{name: keyMonth, column: -1, month: true}
		if i := t.Column(dateColumn); i >= 0 {
			switch t.Schema.Field(i).Type.ID() {
			case arrow.DATE32, arrow.TIMESTAMP, arrow.STRING, arrow.DICTIONARY:
				key.column = i
			}
		}
		return key, nil
	}
	i := t.Column(k.Value)
	if i < 0 {
		issue := k.Issuef(0, "table %s has no column %q to partition by", t.Name, k.Value)
		issue.Suggestion = pipeline.Nearest(k.Value, append(t.ColumnNames(), keyDriveDate, keyMonth))
		return partitionKey{}, issue
	}
	switch t.Schema.Field(i).Type.ID() {
	case arrow.STRING, arrow.DICTIONARY, arrow.DATE32, arrow.BOOL, arrow.INT8, arrow.INT16, arrow.INT32, arrow.INT64,
		arrow.UINT8, arrow.UINT16, arrow.UINT32, arrow.UINT64:
		return partitionKey{name: LakeName(k.Value), column: i}, nil
	}
	return partitionKey{}, k.Issuef(0, "column %s of table %s is %s: only strings, integers, booleans and dates make partitions",
		k.Value, t.Name, t.Schema.Field(i).Type)
}

func isText(t arrow.DataType) bool { return t.ID() == arrow.STRING || t.ID() == arrow.DICTIONARY }

// value is the value of the key in row i; ok is false for null.
func (k partitionKey) value(driveDate string, rec arrow.Record, i int) (v string, ok bool) {
	if k.column < 0 {
		if k.month {
			return monthOf(driveDate)
		}
		return driveDate, driveDate != ""
	}
	arr := rec.Column(k.column)
	if arr.IsNull(i) {
		return "", false
	}
	if k.month {
		switch a := arr.(type) {
		case *arrow.Date32:
			return time.Unix(int64(a.Value(i))*86400, 0).UTC().Format("2006-01"), true
		case *arrow.Timestamp:
			return time.Unix(0, int64(a.Value(i))).UTC().Format("2006-01"), true
		}
		return monthOf(string(textAt(arr, i)))
	}
	switch a := arr.(type) {
	case *arrow.Bool:
		return strconv.FormatBool(a.Value(i)), true
	case *arrow.Date32:
		return time.Unix(int64(a.Value(i))*86400, 0).UTC().Format("2006-01-02"), true
	case *arrow.Int8:
		return strconv.FormatInt(int64(a.Value(i)), 10), true
	case *arrow.Int16:
		return strconv.FormatInt(int64(a.Value(i)), 10), true
	case *arrow.Int32:
		return strconv.FormatInt(int64(a.Value(i)), 10), true
	case *arrow.Int64:
		return strconv.FormatInt(a.Value(i), 10), true
	case *arrow.Uint8:
		return strconv.FormatUint(uint64(a.Value(i)), 10), true
	case *arrow.Uint16:
		return strconv.FormatUint(uint64(a.Value(i)), 10), true
	case *arrow.Uint32:
		return strconv.FormatUint(uint64(a.Value(i)), 10), true
	case *arrow.Uint64:
		return strconv.FormatUint(a.Value(i), 10), true
	}
	v = string(textAt(arr, i))
	return v, v != ""
}

// monthOf cuts YYYY-MM off a date.
func monthOf(date string) (string, bool) {
	if len(date) < 7 {
		return "", false
	}
	if _, err := time.Parse("2006-01", date[:7]); err != nil {
		return "", false
	}
	return date[:7], true
}

// textAt returns the bytes of row i of a string or label array.
func textAt(arr arrow.Array, i int) []byte {
	if a, ok := arr.(*arrow.Dictionary); ok {
		i = int(fixed[int32](arr)[i])
		arr = a.Dictionary()
	}
	data, off := texts(arr)
	return data[off[i]:off[i+1]]
}

// same reports whether rows i and j of arr have equal values.
func same(arr arrow.Array, i, j int) bool {
	if arr.IsNull(i) || arr.IsNull(j) {
		return arr.IsNull(i) == arr.IsNull(j)
	}
	switch a := arr.(type) {
	case *arrow.String:
		return bytes.Equal(textAt(arr, i), textAt(arr, j))
	case *arrow.Dictionary:
		codes := fixed[int32](arr)
		return codes[i] == codes[j] || bytes.Equal(textAt(arr, i), textAt(arr, j))
	case *arrow.Bool:
		return a.Value(i) == a.Value(j)
	}
	switch fixedWidth(arr.DataType()) {
	case 1:
		v := fixed[uint8](arr)
		return v[i] == v[j]
	case 2:
		v := fixed[uint16](arr)
		return v[i] == v[j]
	case 4:
		v := fixed[uint32](arr)
		return v[i] == v[j]
	}
	v := fixed[uint64](arr)
	return v[i] == v[j]
}

// partitionRun returns the end of the rows from from on, before to, that lie
// in one partition.
func partitionRun(keys []partitionKey, rec arrow.Record, from, to int) int {
	end := to
	for _, k := range keys {
		if k.column < 0 {
			continue
		}
		arr := rec.Column(k.column)
		i := from + 1
		for i < end && same(arr, from, i) {
			i++
		}
		end = i
	}
	return end
}

// partitionOf returns the directory of a row below its table, and the values.
func partitionOf(keys []partitionKey, driveDate string, rec arrow.Record, i int) (dir string, values map[string]string) {
	var b strings.Builder
	values = make(map[string]string, len(keys))
	for _, k := range keys {
		v, ok := k.value(driveDate, rec, i)
		if !ok {
			v = noValue
		}
		values[k.name] = v
		fmt.Fprintf(&b, "%s=%s/", k.name, escape(v))
	}
	return b.String(), values
}

// escape writes a value into a path as Hive does.
func escape(v string) string {
	const special = "\"#%'*/:=?\\\x7f{[]^"
	var b strings.Builder
	for i := range len(v) {
		if c := v[i]; c < 0x20 || strings.IndexByte(special, c) >= 0 {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
