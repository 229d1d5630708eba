package rosmsg

import (
	"errors"
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
		"my_msgs/action/Go.action":  "Inner[] way\n---\nbool there\n---\nfloat32 left",
		"my_msgs/README.md":         "no definition",
	} {
		if err := l.Add("folder_msgs", name, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	base, _ := Builtins("humble")
	l = l.Over(base)
	for name, want := range map[string]string{
		"my_msgs/msg/Outer":                  "many, thing.inner.x, header.stamp, header.frame_id",
		"my_msgs/Outer":                      "many, thing.inner.x, header.stamp, header.frame_id",
		"folder_msgs/msg/Local":              "n",
		"my_msgs/srv/Ask_Event":              "info.event_type, info.stamp, info.client_gid, info.sequence_number, request, response",
		"my_msgs/action/Go_FeedbackMessage":  "goal_id.uuid, feedback.left",
		"my_msgs/action/Go_SendGoal_Event":   "info.event_type, info.stamp, info.client_gid, info.sequence_number, request, response",
		"my_msgs/action/Go_SendGoal_Request": "goal_id.uuid, goal.way",
		"my_msgs/srv/Ask_Response":           "answer",
		"sensor_msgs/msg/Range":              "header.stamp, header.frame_id, radiation_type, field_of_view, min_range, max_range, range",
	} {
		encoding, text, err := l.Definition(name)
		if err != nil || encoding != "ros2msg" {
			t.Errorf("%s: %s, %v", name, encoding, err)
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
	for _, name := range []string{"my_msgs/msg/Nothing", "my_msgs/srv/Nothing_Event", "my_msgs/msg/Ask_Event", ""} {
		if _, _, err := l.Definition(name); !errors.Is(err, pipeline.ErrNotFound) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if err := l.Add("x", "my_msgs/Inner.msg", []byte("float32 x")); !errors.Is(err, pipeline.ErrCorrupt) {
		t.Errorf("defined twice: %v", err)
	}
	var none *Library
	if _, _, err := none.Definition("std_msgs/msg/String"); !errors.Is(err, pipeline.ErrNotFound) || none.Len() != 0 || none.Over(base) != base {
		t.Errorf("no library: %v", err)
	}
}

// What only .idl files define comes with the files it includes, and whatever
// else it uses in .msg files.
func TestLibraryIDL(t *testing.T) {
	l := &Library{}
	for name, text := range map[string]string{
		"my_msgs/msg/A.msg":     "B b",
		"my_msgs/msg/A.idl":     "not looked at",
		"my_msgs/msg/B.idl":     "#include \"other_msgs/msg/C.idl\"\n#  include <my_msgs/msg/D.idl>\n#include \"std_msgs/msg/Header.idl\"\n#include",
		"other_msgs/msg/C.idl":  "#include \"my_msgs/msg/B.idl\"\nstruct C",
		"my_msgs/msg/D.msg":     "uint8 d\n",
		"my_msgs/msg/Alone.idl": "alone",
		"my_msgs/srv/Ask.srv":   "B b\n---\nint32 n",
	} {
		if err := l.Add("x", name, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{
		"my_msgs/msg/A":         "MSG: my_msgs/msg/A|IDL: my_msgs/msg/B|IDL: other_msgs/msg/C|MSG: my_msgs/msg/D",
		"my_msgs/msg/B":         "IDL: my_msgs/msg/B|IDL: other_msgs/msg/C|MSG: my_msgs/msg/D",
		"my_msgs/Alone":         "IDL: my_msgs/msg/Alone",
		"my_msgs/srv/Ask_Event": "MSG: my_msgs/srv/Ask_Request|MSG: my_msgs/srv/Ask_Response|IDL: my_msgs/msg/B|IDL: other_msgs/msg/C|MSG: my_msgs/msg/D",
		"my_msgs/msg/D":         "",
	} {
		encoding, text, err := l.Definition(name)
		var heads []string
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(line, "MSG:") || strings.HasPrefix(line, "IDL:") {
				heads = append(heads, strings.TrimSpace(line))
			}
		}
		if got := strings.Join(heads, "|"); err != nil || got != want || (encoding == "ros2idl") != (want != "") {
			t.Errorf("%s: %s, %s, %v; want %s", name, encoding, got, err, want)
		}
	}
	if err := l.Add("x", "my_msgs/msg/B.idl", []byte("else")); !errors.Is(err, pipeline.ErrCorrupt) {
		t.Errorf("defined twice: %v", err)
	}
	if err := l.Add("x", "Big.idl", make([]byte, MaxText+1)); !errors.Is(err, pipeline.ErrLimit) {
		t.Errorf("large file: %v", err)
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
			_, text, err := l.Definition(name)
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
		_, text, err := l.Definition(c.typ)
		if err != nil || strings.Contains(string(text), c.field) != c.has {
			t.Errorf("%s of %s: %v\n%s", c.typ, c.release, err, text)
		}
	}
	if _, release := Builtins("zzz"); release != defaultRelease || !slices.Contains(releases, release) {
		t.Errorf("an unknown distribution is %s", release)
	}
}
