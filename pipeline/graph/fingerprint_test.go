package graph

import (
	"regexp"
	"strings"
	"testing"

	"github.com/drivemill/drivemill/pipeline"
)

const printed = `
pipeline: p
description: A pipeline.
inputs:
  drives:
    uri: raw/{vehicle_id}/*.mlog
    clock: [header, log]
    on_bad_data: quarantine
    attributes: {campaign: winter}
    tables:
      odom: {match: /odom, columns: [pose, twist]}
      fix: {match: /gps/fix}
stages:
  moving: {use: filter, from: drives.odom, where: twist.linear.x}
  weather: {use: lookup, from: moving, table: w.csv, on: {pose.x: key}}
  speed: {use: derive, from: weather, columns: {kmh: twist.linear.x * 3.6}}
  place: {use: filter, from: drives.fix, where: status}
outputs:
  lake: {use: lake, from: [speed, place], uri: lake}
  other: {use: lake, from: place, uri: lake2, codec: snappy}
`

// prints returns the fingerprints of the tables of the first output that
// writes odom and fix, and of the plan.
func prints(t *testing.T, g *Graph, formats map[string]string) (odomPrint, fixPrint, plan string) {
	t.Helper()
	b := mustBind(t, g, odom(), fix())
	b.Formats = formats
	for _, n := range b.Nodes {
		if n.Sink == nil || len(n.Sink.Tables) < 2 {
			continue
		}
		for _, st := range n.Sink.Tables {
			p := g.SinkFingerprint(n.Name, st, b)
			if !regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(p) {
				t.Errorf("no fingerprint: %q", p)
			}
			if strings.Contains(st.Name, "odom") {
				odomPrint = p
			} else {
				fixPrint = p
			}
		}
	}
	return odomPrint, fixPrint, g.PlanFingerprint()
}

// TestFingerprints: what changes which fingerprint, and what changes none.
func TestFingerprints(t *testing.T) {
	base := func(text string) string { return text }
	replace := func(pairs ...string) func(string) string {
		return func(text string) string {
			for i := 0; i < len(pairs); i += 2 {
				if !strings.Contains(text, pairs[i]) {
					t.Fatalf("no %q", pairs[i])
				}
				text = strings.ReplaceAll(text, pairs[i], pairs[i+1])
			}
			return text
		}
	}
	odom0, fix0, plan0 := prints(t, mustBuild(t, printed), nil)
	again, _, _ := prints(t, mustBuild(t, printed), nil)
	if again != odom0 || odom0 == fix0 {
		t.Fatal("fingerprints are not stable, or all the same")
	}
	for _, c := range []struct {
		name            string
		change          func(string) string
		odom, fix, plan bool // changes
		reg             func(*pipeline.Registry) *pipeline.Registry
		side            string
		formats         map[string]string
	}{
		{name: "comment", change: func(s string) string { return "# x\n" + s + "\n# y\n" }},
		{name: "description and name", change: replace("A pipeline.", "Another one.", "pipeline: p", "pipeline: q")},
		{name: "order of settings", change: replace(
			"{use: filter, from: drives.odom, where: twist.linear.x}", "{where: 'twist.linear.x', from: [drives.odom], use: filter}",
			"{match: /odom, columns: [pose, twist]}", "{columns: [pose, twist], match: /odom}")},
		{name: "order of nodes", change: func(s string) string {
			line := "  place: {use: filter, from: drives.fix, where: status}\n"
			return strings.Replace(strings.Replace(s, line, "", 1), "stages:\n", "stages:\n"+line, 1)
		}},
		{name: "defaults spelled out", change: replace("    on_bad_data: quarantine\n", "", "uri: lake}", "uri: lake, codec: zstd}")},
		{name: "names", change: replace("moving", "going", "weather", "air", "place", "spot", "lake:", "sea:", "drives", "trips")},
		{name: "where the lake is", change: replace("uri: lake}", "uri: s3://elsewhere/lake}")},
		{name: "where the recordings are", change: replace("raw/{vehicle_id}", "s3://bucket/{vehicle_id}/x")},
		{name: "an unrelated output", change: replace("codec: snappy", "codec: zstd"), plan: true},
		{name: "an unrelated stage", change: func(s string) string {
			return strings.Replace(s, "outputs:\n", "  more: {use: derive, from: drives.odom, columns: {z: pose.y}}\noutputs:\n  new: {use: lake, from: more, uri: x}\n", 1)
		}, plan: true},
		{name: "a condition", change: replace("where: twist.linear.x", "where: twist.linear.y"), odom: true, plan: true},
		{name: "another condition", change: replace("where: status", "where: latitude"), fix: true, plan: true},
		{name: "an expression", change: replace("3.6", "3.7"), odom: true, plan: true},
		{name: "columns read", change: replace("columns: [pose, twist]", "columns: [pose, twist.linear.x]"), odom: true, plan: true},
		{name: "clock", change: replace("clock: [header, log]", "clock: log"), odom: true, fix: true, plan: true},
		{name: "constants", change: replace("winter", "summer"), odom: true, fix: true, plan: true},
		{name: "captures", change: replace("{vehicle_id}", "{car}"), odom: true, fix: true, plan: true},
		{name: "bad data", change: replace("on_bad_data: quarantine", "on_bad_data: skip"), odom: true, fix: true, plan: true},
		{name: "name in the lake", change: replace("odom:", "odometry:", "drives.odom", "drives.odometry"), odom: true, plan: true},
		{name: "as", change: replace("where: twist.linear.x", "where: twist.linear.x, as: odom_moving"), odom: true, plan: true},
		{name: "output's settings", change: replace("uri: lake}", "uri: lake, codec: none}"), odom: true, fix: true, plan: true},
		{name: "side table", change: base, side: "two", odom: true, plan: true},
		{name: "format", change: base, formats: map[string]string{"drives": "log/2"}, odom: true, fix: true},
		{name: "behaviour of a stage", change: base, reg: func(r *pipeline.Registry) *pipeline.Registry {
			return copyRegistry(r, "derive")
		}, odom: true, plan: true},
		{name: "behaviour of an output", change: base, reg: func(r *pipeline.Registry) *pipeline.Registry {
			return copyRegistry(r, "lake")
		}, odom: true, fix: true, plan: true},
		{name: "behaviour of a format", change: base, reg: func(r *pipeline.Registry) *pipeline.Registry {
			return copyRegistry(r, "log")
		}, odom: true, fix: true, plan: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			reg, env := testRegistry(), fakeEnv{content: "one"}
			if c.reg != nil {
				reg = c.reg(reg)
			}
			if c.side != "" {
				env.content = c.side
			}
			o, f, p := prints(t, mustBuildWith(t, c.change(printed), reg, env), c.formats)
			for _, x := range []struct {
				what      string
				was, is   string
				different bool
			}{{"odom", odom0, o, c.odom}, {"fix", fix0, f, c.fix}, {"plan", plan0, p, c.plan}} {
				if (x.was != x.is) != x.different {
					t.Errorf("the fingerprint of %s changes: %v, want %v", x.what, x.was != x.is, x.different)
				}
			}
		})
	}
}

// copyRegistry raises the behaviour version of one component.
func copyRegistry(r *pipeline.Registry, name string) *pipeline.Registry {
	out := new(pipeline.Registry)
	for _, f := range r.Formats() {
		if f.Format.Name() == name {
			f.Behaviour++
		}
		out.AddFormat(f)
	}
	for _, s := range r.Stages() {
		if s.Name == name {
			s.Behaviour++
		}
		out.AddStage(s)
	}
	for _, s := range r.Sinks() {
		if s.Name == name {
			s.Behaviour++
		}
		out.AddSink(s)
	}
	return out
}

// TestFingerprintUnits: the schema found in a recording counts, tables beside
// do not.
func TestFingerprintUnits(t *testing.T) {
	g := mustBuild(t, "pipeline: p\ninputs: {d: {uri: x}}\nstages: {f: {use: filter, from: d, where: header.seq}}\noutputs: {o: {use: lake, from: f, uri: y}}")
	one := func(native ...*pipeline.Table) string {
		b := mustBind(t, g, native...)
		for _, st := range b.Nodes[1].Sink.Tables {
			if st.Name == "/t" {
				return g.SinkFingerprint("o", st, b)
			}
		}
		t.Fatal("no table")
		return ""
	}
	small, large := logTable("/t", "header.seq:int", "a:int"), logTable("/t", "header.seq:int", "a:int", "b:int")
	beside := logTable("/a", "header.seq:int")
	if one(small) != one(beside, small) {
		t.Error("a table beside changes the fingerprint")
	}
	if one(small) == one(large) || one(small) == one(logTable("/t", "header.seq:int", "a:float")) {
		t.Error("another schema has the same fingerprint")
	}
	if got := g.Fingerprint("nothing", small, mustBind(t, g, small)); got != "" {
		t.Errorf("an unknown output has fingerprint %s", got)
	}
}
