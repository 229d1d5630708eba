package rosmsg

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/drivemill/drivemill/pipeline"
)

func TestLibrary(t *testing.T) {
	l := &Library{}
	for name, text := range map[string]string{
		"my_msgs/msg/Outer.msg":     "Inner[] many\nother_msgs/Thing thing\nstd_msgs/Header header",
		"my_msgs/msg/Inner.msg":     "float64 x",
		"deep/other_msgs/Thing.msg": "uint8 A=1\nmy_msgs/msg/Inner inner",
		"msg/Local.msg":             "int32 n",
		"my_msgs/srv/Ask.srv":       "Inner question\n---\nbool answer",
		"my_msgs/README.md":         "no definition",
		"my_msgs/msg/Late.idl":      "module my_msgs { };",
	} {
		if err := l.Add("folder_msgs", name, []byte(text), nil); err != nil {
			t.Fatal(err)
		}
	}
	base, _ := Builtins("humble")
	l = l.Over(base)
	for name, want := range map[string]string{
		"my_msgs/msg/Outer":     "many, thing.inner.x, header.stamp, header.frame_id",
		"my_msgs/Outer":         "many, thing.inner.x, header.stamp, header.frame_id",
		"folder_msgs/msg/Local": "n",
		"my_msgs/srv/Ask_Event": "info.event_type, info.stamp, info.client_gid, info.sequence_number, request, response",
		"sensor_msgs/msg/Range": "header.stamp, header.frame_id, radiation_type, field_of_view, min_range, max_range, range",
	} {
		text, err := l.Definition(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		typ, err := Parse(ROS2, name, text)
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, text)
			continue
		}
		var names []string
		for _, f := range typ.Columns() {
			names = append(names, f.Name)
		}
		if got := strings.Join(names, ", "); got != want {
			t.Errorf("%s: columns %s, want %s", name, got, want)
		}
	}
	for _, name := range []string{"my_msgs/msg/Nothing", "my_msgs/srv/Nothing_Event", "my_msgs/msg/Late", ""} {
		if _, err := l.Definition(name); !errors.Is(err, pipeline.ErrNotFound) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, err := l.Definition("my_msgs/msg/Late"); !strings.Contains(err.Error(), "Late.idl") {
		t.Errorf("type in IDL: %v", err)
	}
	if err := l.Add("x", "my_msgs/Inner.msg", []byte("float32 x"), nil); !errors.Is(err, pipeline.ErrCorrupt) {
		t.Errorf("defined twice: %v", err)
	}
	var none *Library
	if _, err := none.Definition("std_msgs/msg/String"); !errors.Is(err, pipeline.ErrNotFound) || none.Len() != 0 || none.Over(base) != base {
		t.Errorf("no library: %v", err)
	}
}

// An .idl file goes through the translator, unless a .msg file says it already.
func TestLibraryIDL(t *testing.T) {
	l := &Library{}
	translate := func(text []byte) (map[string]string, error) {
		if len(text) == 0 {
			return nil, fmt.Errorf("empty: %w", pipeline.ErrCorrupt)
		}
		return map[string]string{"my_msgs/msg/A": "int32 from_idl", "my_msgs/msg/B": "int32 b"}, nil
	}
	for _, f := range [][2]string{{"my_msgs/msg/A.msg", "int32 a"}, {"my_msgs/msg/A.idl", "module"}} {
		if err := l.Add("x", f[0], []byte(f[1]), translate); err != nil {
			t.Fatal(err)
		}
	}
	a, err := l.Definition("my_msgs/msg/A")
	if err != nil || string(a) != "int32 a" {
		t.Errorf("A is %q, %v", a, err)
	}
	if b, err := l.Definition("my_msgs/msg/B"); err != nil || string(b) != "int32 b" {
		t.Errorf("B is %q, %v", b, err)
	}
	if err := l.Add("x", "C.idl", nil, translate); !errors.Is(err, pipeline.ErrCorrupt) {
		t.Errorf("empty file: %v", err)
	}
}

// All types of all distributions are sound, and differ where they should.
func TestBuiltins(t *testing.T) {
	for _, release := range releases {
		l, got := Builtins(release)
		if got != release {
			t.Errorf("%s is %s", release, got)
		}
		for _, name := range BuiltinNames(ROS2) {
			text, err := l.Definition(name)
			if err == nil {
				_, err = Parse(ROS2, name, text)
			}
			if err != nil {
				t.Errorf("%s, %s: %v", release, name, err)
			}
		}
	}
	for _, c := range []struct {
		release, typ, field string
		has                 bool
	}{
		{"dashing", "rcl_interfaces/msg/ParameterDescriptor", "bool dynamic_typing", false},
		{"galactic", "rcl_interfaces/msg/ParameterDescriptor", "bool dynamic_typing", true},
		{"galactic", "visualization_msgs/msg/MarkerArray", "texture_resource", false},
		{"humble", "visualization_msgs/msg/MarkerArray", "texture_resource", true},
		{"humble", "sensor_msgs/msg/Range", "variance", false},
		{"iron", "sensor_msgs/msg/Range", "variance", true},
		{"", "sensor_msgs/msg/Range", "variance", false},
		{"crystal", "shape_msgs/msg/SolidPrimitive", "polygon", false},
	} {
		l, _ := Builtins(c.release)
		text, err := l.Definition(c.typ)
		if err != nil || strings.Contains(string(text), c.field) != c.has {
			t.Errorf("%s of %s: %v\n%s", c.typ, c.release, err, text)
		}
	}
	if _, release := Builtins("zzz"); release != defaultRelease || !slices.Contains(releases, release) {
		t.Errorf("an unknown distribution is %s", release)
	}
}
