package config

import (
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/drivemill/drivemill/pipeline"
)

func TestGlob(t *testing.T) {
	for _, c := range []struct {
		pattern string
		match   string // separated by spaces
		not     string
		literal bool
	}{
		{"/odom", "/odom", "/odom2 odom", true},
		{"/cam*/image", "/cam/image /camera/front/image", "/cam/image/raw", false},
		{"/*", "/ /a /a/b", "a", false},
		{"/a?", "/ab /ac", "/a /abc", false},
		{"/[a-c]x", "/ax /cx", "/dx", false},
		{"/[!a]x", "/bx", "/ax", false},
		{"/{gps,imu/*}", "/gps /imu/x", "/imu /odom", false},
		{"a,b", "a,b", "a", true},
		{`a\*b`, "a*b", "axb", true},
		{"a.b", "a.b", "axb", true},
		{"*.überholt", "x.überholt", "x.uberholt", false},
		{"a(b)+", "a(b)+", "ab", true},
	} {
		g, err := CompileGlob(c.pattern)
		if err != nil {
			t.Errorf("%s: %v", c.pattern, err)
			continue
		}
		if _, lit := g.Literal(); lit != c.literal {
			t.Errorf("%s: literal is %v", c.pattern, lit)
		}
		for _, s := range strings.Fields(c.match) {
			if !g.Match(s) {
				t.Errorf("%s does not match %s", c.pattern, s)
			}
		}
		for _, s := range strings.Fields(c.not) {
			if g.Match(s) {
				t.Errorf("%s matches %s", c.pattern, s)
			}
		}
	}
	for _, bad := range []string{"[", "[]", "a[b", "{a", "a}", `a\`, "[z-a]"} {
		if _, err := CompileGlob(bad); err == nil {
			t.Errorf("%s compiles", bad)
		}
	}
}

// TestGlobLiteral: a name whose special characters are escaped matches itself
// and is literal.
func TestGlobLiteral(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.String().Draw(t, "name")
		escaped := strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `{`, `\{`, `}`, `\}`).Replace(name)
		g, err := CompileGlob(escaped)
		if err != nil {
			t.Fatal(err)
		}
		if s, ok := g.Literal(); !ok || s != name || !g.Match(name) {
			t.Fatalf("%q is literal %q, %v", escaped, s, ok)
		}
		if g, err = CompileGlob(escaped + "*"); err != nil || !g.Match(name) || !g.Match(name+"x") {
			t.Fatalf("%q* does not match what begins so: %v", escaped, err)
		}
	})
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]pipeline.Size{
		"0": 0, "4096": 4096, "1B": 1, "16MiB": 16 << 20, "2GB": 2e9, "1.5 KiB": 1536, "7kB": 7000, "9223372036854775807": math.MaxInt64,
	} {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("%s: %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "B", "-1", "1e3", "16 apples", "0.5B", "9223372036854775808", "99999999TiB", "1.2.3MB", "0x10"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("%s: %d", text, got)
		}
	}
}

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0": 0, "90s": 90 * time.Second, "2d": 48 * time.Hour, "1d12h": 36 * time.Hour, "-1d1h": -25 * time.Hour, "-5ms": -5 * time.Millisecond,
	} {
		if got, err := parseDuration(text); err != nil || got != want {
			t.Errorf("%s: %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "d", "1", "1.5d", "1d-1h", "1d24h", "1h1d", "999999999d"} {
		if got, err := parseDuration(text); err == nil {
			t.Errorf("%s: %v", text, got)
		}
	}
}

// TestUnmarshal decodes a struct of another package's.
func TestUnmarshal(t *testing.T) {
	var c lookupConfig
	if err := Unmarshal("c.yaml", []byte("table: a.csv\non: {x: y}\n"), &c); err != nil {
		t.Fatal(err)
	}
	if c.Table.URI.Value != "a.csv" || c.Table.URI.Path != "table" || c.Table.URI.Pos != (pipeline.Pos{File: "c.yaml", Line: 1, Col: 8}) {
		t.Errorf("table is %+v", c.Table.URI)
	}
	if c.Tolerance != 30*time.Minute || !c.Strict || c.Table.Limit != 16<<20 || len(c.Parts) != 2 {
		t.Errorf("defaults are missing: %+v", c)
	}
	if err := Unmarshal("c.yaml", []byte("on: {x: y}"), &c); err == nil || err.Error() != "c.yaml:1:1: table is missing" {
		t.Errorf("got %v", err)
	}
	if err := Unmarshal("c.yaml", []byte("on: {}\ntable: t"), &c); err == nil || err.Error() != "c.yaml:1:1: nothing to join on" {
		t.Errorf("got %v", err)
	}
}

// TestCanonical: what does not change the meaning does not change the text.
func TestCanonical(t *testing.T) {
	canonical := func(text string) string {
		t.Helper()
		var c lookupConfig
		if err := Unmarshal("c.yaml", []byte(text), &c); err != nil {
			t.Fatal(err)
		}
		return string(Canonical(&c))
	}
	plain := canonical("{table: a.csv, on: {x: y, z: w}}")
	if want := `{"table":{"uri":"a.csv"},"on":{"x":"y","z":"w"}}`; plain != want {
		t.Errorf("got %s, want %s", plain, want)
	}
	for _, same := range []string{
		"# comment\non: {z: w, x: 'y'}\ntable: {uri: a.csv}\n",
		"{table: {uri: a.csv, limit: 16MiB}, on: {x: y, z: w}, tolerance: 1800s, weight: 0.50, strict: true, parts: [1, 2]}",
		"{table: a.csv, on: {x: y, z: w}, least: 0}",
	} {
		if got := canonical(same); got != plain {
			t.Errorf("%s\nbecomes %s", same, got)
		}
	}
	for _, other := range []string{
		"{table: b.csv, on: {x: y, z: w}}",
		"{table: a.csv, on: {x: y}}",
		"{table: a.csv, on: {x: y, z: w}, strict: false}",
		"{table: a.csv, on: {x: y, z: w}, parts: []}",
		"{table: a.csv, on: {x: y, z: w}, extra: b}",
	} {
		if got := canonical(other); got == plain {
			t.Errorf("%s changes nothing", other)
		}
	}
	var in Input
	if err := Unmarshal("c.yaml", []byte("{uri: x, group: [a], exclude: y, clock: log}"), &in); err != nil {
		t.Fatal(err)
	}
	if got := string(Canonical(&in, "uri")); got != `{"clock":["log"]}` {
		t.Errorf("got %s", got)
	}
}

func TestCaptures(t *testing.T) {
	got := strings.Join(Captures("s3://b/{vehicle_id}/{drive_id:[0-9]+}/{vehicle_id}_*.{bag,mcap}"), " ")
	if got != "vehicle_id drive_id" {
		t.Errorf("got %s", got)
	}
}

func FuzzLoad(f *testing.F) {
	for _, s := range testRegistry().Stages() {
		f.Add([]byte(s.Example), "inputs.a.uri=y")
	}
	f.Add([]byte("a: &a [*a]\n<<: {b: ${X:${Y}}}\n? [x]\n"), "a.0.b=1")
	f.Add([]byte("inputs: !x {a: |\n \tb}"), "stages.f.x.y.z='")
	reg := testRegistry()
	f.Fuzz(func(t *testing.T, data []byte, set string) {
		env := func(k string) (string, bool) { return "${" + k + "}", len(k) > 2 }
		p, err := Load("p.yaml", data, LoadOptions{Set: []string{set}, Env: env}, reg)
		if p == nil {
			t.Fatal("no pipeline")
		}
		if err != nil {
			if err.Error() == "" {
				t.Fatal("a mistake without a text")
			}
			return
		}
		again, err := Load("p.yaml", p.Normalised(), LoadOptions{}, reg)
		if err != nil {
			t.Fatalf("the normalised pipeline does not load: %v\n%s", err, p.Normalised())
		}
		if string(again.Normalised()) != string(p.Normalised()) {
			t.Fatalf("normalising twice:\n%s\n%s", p.Normalised(), again.Normalised())
		}
	})
}

func TestReference(t *testing.T) {
	var got []string
	for _, f := range Reference(new(lookupConfig)) {
		got = append(got, f.Name+" "+f.Type+" "+f.Default)
	}
	want := "table settings , table.uri text , table.limit size 16MiB, on mapping of text , tolerance duration 30m, least integer , " +
		"weight number 0.5, strict true|false true, extra settings , extra.uri text , extra.limit size 16MiB, parts list of integer 1,2"
	if strings.Join(got, ", ") != want {
		t.Errorf("got %s", strings.Join(got, ", "))
	}
	if r := Reference(new(Input)); r[len(r)-1].Name != "exclude" || r[8].Name != "tables.*.match" {
		t.Errorf("got %+v", r)
	}
}

// A policy may stand alone or with its threshold; a table's comes first.
func TestPayloads(t *testing.T) {
	for _, tc := range []struct {
		all, key Payloads
		policy   pipeline.PayloadPolicy
		above    int64
	}{
		{policy: pipeline.ReferPayloads, above: 64 << 10},
		{all: Payloads{Policy: "drop", Above: 9}, policy: pipeline.DropPayloads, above: 9},
		{all: Payloads{Policy: "drop", Above: 9}, key: Payloads{Policy: "inline"}, policy: pipeline.InlinePayload, above: 64 << 10},
	} {
		if policy, above := tc.key.For(tc.all); policy != tc.policy || above != tc.above {
			t.Errorf("%+v of %+v: %s above %d", tc.key, tc.all, policy, above)
		}
	}
	var issues pipeline.Issues
	(&Payloads{Policy: "drop", Above: -1}).Validate(&issues)
	if issues.Err() == nil {
		t.Error("a negative threshold is accepted")
	}
}
