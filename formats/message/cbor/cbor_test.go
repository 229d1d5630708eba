package cbor_test

import (
	"encoding/hex"
	"math"
	"math/big"
	"slices"
	"strings"
	"testing"

	fx "github.com/fxamacker/cbor/v2"

	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/formats/message/cbor"
	"github.com/drivemill/drivemill/formats/message/messagetest"
)

func parse(t testing.TB, schema string) message.Layout {
	t.Helper()
	s := message.Schema{Name: "T", Encoding: "jsonschema", Data: []byte(schema)}
	if schema == "" {
		s.Encoding = ""
	}
	l, err := cbor.Encoding{}.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func marshal(t testing.TB, v any) []byte {
	t.Helper()
	b, err := fx.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The examples of RFC 8949, appendix A, and of RFC 8746, as JSON text.
func Test42Text(t *testing.T) {
	l := parse(t, "")
	for _, c := range []struct{ data, want string }{
		{"00", "0"}, {"1818", "24"}, {"1b000000e8d4a51000", "1000000000000"}, {"1bffffffffffffffff", "18446744073709551615"},
		{"3903e7", "-1000"}, {"3bffffffffffffffff", "-18446744073709551616"},
		{"c249010000000000000000", "18446744073709551616"}, {"c349010000000000000000", "-18446744073709551617"},
		{"f93e00", "1.5"}, {"f97bff", "65504"}, {"fa47c35000", "100000"}, {"fb7e37e43c8800759c", "1e+300"}, {"f90001", "5.960464477539063e-08"},
		{"f98000", "-0"}, {"f97c00", `"Infinity"`}, {"f97e00", `"NaN"`}, {"f9fc00", `"-Infinity"`},
		{"f4", "false"}, {"f5", "true"}, {"f6", "null"}, {"f7", "null"},
		{"c11a514b67b0", "1363896240"}, {"c1fb41d452d9ec200000", "1.3638962405e+09"}, {"d74401020304", `"AQIDBA=="`}, {"d9d9f701", "1"},
		{"4401020304", `"AQIDBA=="`}, {"62c3bc", `"ü"`}, {"62225c", `"\"\\"`}, {"80", "[]"}, {"8301820203820405", "[1,[2,3],[4,5]]"},
		{"a201020304", `{"1":2,"3":4}`}, {"a26161016162820203", `{"a":1,"b":[2,3]}`},
		{"5f42010243030405ff", `"AQIDBAU="`}, {"7f657374726561646d696e67ff", `"streaming"`}, {"9f018202039f0405ffff", "[1,[2,3],[4,5]]"},
		{"bf61610161629f0203ffff", `{"a":1,"b":[2,3]}`},
		{"d84043010203", "[1,2,3]"}, {"d84843ff0001", "[-1,0,1]"}, {"d84544 0100 0200", "[1,2]"}, {"d84144 0100 0200", "[256,512]"}, {"d85048 3c00 c000 0000 7c00", `[1,-2,0,"Infinity"]`},
		{"d855480000803f00000040", "[1,2]"}, {"d84f48 feffffffffffffff", "[-2]"},
	} {
		got := messagetest.One(t, l, unhex(t, c.data))
		want := "json=" + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(c.want)
		if want = strings.Replace(want, "json=", `json="`, 1) + `"`; got != want {
			t.Errorf("%s: %s, want %s", c.data, got, want)
		}
	}
	for _, c := range []struct{ data, want string }{
		{"", "truncated"}, {"18", "truncated"}, {"1c", "malformed"}, {"ff", "malformed"}, {"0000", "trailing_bytes"}, {"9bffffffffffffffff", "length_beyond_end"},
		{"bb7fffffffffffffff", "length_beyond_end"}, {"7bffffffffffffffff", "length_beyond_end"}, {"61ff", "invalid_utf8"}, {"7f61c361bcff", "invalid_utf8"},
		{"7f4100ff", "malformed"}, {"7f7fffff", "malformed"}, {"9f", "truncated"}, {"bf00ff", "malformed"}, {"f818", "malformed"}, {"f8ff", "type_mismatch"}, {"1f", "malformed"}, {"df", "malformed"},
		{"a2616101616102", "duplicate_key"}, {"a20101613102", "duplicate_key"}, {"a1f500", "type_mismatch"}, {"d84143000000", "malformed"},
		{strings.Repeat("81", 200) + "00", "too_deep"}, {strings.Repeat("c1", 200) + "00", "too_deep"},
	} {
		if got := messagetest.One(t, l, unhex(t, c.data)); got != "!"+c.want {
			t.Errorf("%.40s: %s, want %s", c.data, got, c.want)
		}
	}
}

const schema = `{"type":"object","properties":{
 "time":{"title":"time","type":"object","properties":{"sec":{"type":"integer"},"nsec":{"type":"integer"}}},
 "i":{"type":"integer"},"u":{"type":"integer","minimum":0,"maximum":18446744073709551615},"x":{"type":"number"},"b":{"type":"boolean"},"s":{"type":"string"},
 "d":{"type":"string","contentEncoding":"base64"},"p":{"properties":{"x":{"type":"number"}}},"l":{"type":"array","items":{"type":"number"}},"n":{"type":"array","items":{"type":"integer"}},
 "q":{"type":"array","items":{"properties":{"k":{"type":"integer"}}}},"any":{}}}`

func Test42Columns(t *testing.T) {
	l := parse(t, schema)
	m := map[string]any{"time": map[string]any{"sec": 5, "nsec": 7}, "i": math.MinInt64, "u": uint64(math.MaxUint64), "x": 1.5, "b": true, "s": "é", "d": []byte{1, 2},
		"p": map[string]any{"x": float32(2), "y": 3}, "l": []any{1, 2.5, nil}, "n": []int{1, -2}, "q": []any{map[string]any{"k": 1, "z": "w"}, nil}, "any": []any{1, "x"}}
	want := `time=5000000007ns i=-9223372036854775808 u=18446744073709551615 x=1.5 b=true s="é" d=b:AQI= p.x=2 l=[1 2.5 null] n=[1 -2] q=[{k:1} null] any="[1,\"x\"]" _extra=`
	got := messagetest.One(t, l, marshal(t, m))
	if !strings.HasPrefix(got, want) || !strings.Contains(got, `\"p.y\":3`) || !strings.Contains(got, `\"q[0].z\":\"w\"`) {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	typed := map[string]any{"l": fx.Tag{Number: 85, Content: []byte{0, 0, 128, 63}}, "n": fx.Tag{Number: 77, Content: []byte{254, 255}}, "time": fx.Tag{Number: 1, Content: 9}, "i": big.NewInt(12), "d": "AQI="}
	if got := messagetest.One(t, l, marshal(t, typed), "l", "n", "time", "i", "d"); got != "time=9000000000ns i=12 d=b:AQI= l=[1] n=[-2]" {
		t.Error(got)
	}
	messagetest.Suite(t, l, marshal(t, m), marshal(t, typed), unhex(t, "bf6169 01 61789f ff ff"), unhex(t, "a0"), unhex(t, "bf61737f6161ffff"))
	for _, c := range []struct {
		v    map[string]any
		want string
	}{
		{map[string]any{"i": uint64(1 << 63)}, "out_of_range"}, {map[string]any{"i": 1.5}, "out_of_range"}, {map[string]any{"u": -1}, "out_of_range"}, {map[string]any{"x": 1<<53 + 1}, "out_of_range"},
		{map[string]any{"i": "1"}, "type_mismatch"}, {map[string]any{"s": []byte{1}}, "type_mismatch"}, {map[string]any{"l": 1}, "type_mismatch"}, {map[string]any{"l": []any{"x"}}, "type_mismatch"},
		{map[string]any{"d": "A"}, "type_mismatch"}, {map[string]any{"p": 1}, "type_mismatch"}, {map[string]any{"b": 1}, "type_mismatch"}, {map[string]any{"time": fx.Tag{Number: 1, Content: 1.5}}, "out_of_range"},
		{map[string]any{"time": map[string]any{"sec": 1}}, "out_of_range"}, {map[string]any{"n": fx.Tag{Number: 85, Content: []byte{0, 0, 128, 63}}}, "type_mismatch"},
	} {
		if got := messagetest.One(t, l, marshal(t, c.v)); got != "!"+c.want {
			t.Errorf("%v: %s, want %s", c.v, got, c.want)
		}
	}
}

// Any item that the reference takes as well-formed is decoded, or refused for
// what it is rather than how it is written.
func FuzzDecode(f *testing.F) {
	l, raw := parse(f, schema), parse(f, "")
	f.Add(marshal(f, map[string]any{"i": 1, "p": map[string]any{"x": 1.5}, "l": []float64{1}, "zz": "y"}))
	f.Add([]byte{0xbf, 0x61, 'n', 0x9f, 1, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, msg []byte) {
		messagetest.Fuzz(t, l, msg)
		got := messagetest.Decode(t, raw, nil, 1, msg)[0]
		switch err := fx.Wellformed(msg); {
		case err != nil && got.Reason == "":
			t.Errorf("%x: decoded, the reference says %v", msg, err)
		case err == nil && (got.Reason == message.Malformed && !slices.ContainsFunc(msg, func(b byte) bool { return b >= 0xd8 && b <= 0xdb }) || got.Reason == message.Truncated || got.Reason == message.TrailingBytes):
			t.Errorf("%x: %s, the reference decodes it", msg, got.Reason)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	l := parse(b, schema)
	var msgs [][]byte
	for i := range 500 {
		msgs = append(msgs, marshal(b, map[string]any{"time": map[string]any{"sec": 1700000000, "nsec": i}, "i": i, "x": float64(i) / 7, "s": "imu_link", "p": map[string]any{"x": 0.25}, "l": []float64{1, 2, 3}}))
	}
	b.Run("columns", func(b *testing.B) { messagetest.Bench(b, l, nil, msgs...) })
	b.Run("one_column", func(b *testing.B) { messagetest.Bench(b, l, []string{"i"}, msgs...) })
	b.Run("fxamacker", func(b *testing.B) {
		b.ReportAllocs()
		for i := range b.N {
			var m struct {
				Time struct{ Sec, Nsec int64 }
				I    int64
				X    float64
				S    string
				P    struct{ X float64 }
				L    []float64
			}
			if err := fx.Unmarshal(msgs[i%len(msgs)], &m); err != nil {
				b.Fatal(err)
			}
		}
	})
}
