package rosbag2

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/drivemill/drivemill/formats/message/cdr"
	"github.com/drivemill/drivemill/formats/message/rosmsg"
	"github.com/drivemill/drivemill/formats/rosbag2/bagtest"
	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/store"
)

func TestDefinitions(t *testing.T) {
	t.Run("22 service events", func(t *testing.T) {
		d := &bagtest.DB{
			Topics:      []bagtest.Topic{{Name: "/add/_service_event", Type: "pkg/srv/Add_Event"}},
			Definitions: []bagtest.Definition{{Type: "pkg/srv/Add", Encoding: "ros2msg", Text: "int64 a\nint64 b\n---\nint64 sum\n"}},
		}
		b := append([]byte{0, 1, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0, 6, 0, 0, 0}, make([]byte, 16)...) // info: type, stamp, gid
		b = append(b, make([]byte, 4)...)
		b = binary.LittleEndian.AppendUint64(b, 9)  // sequence number
		b = binary.LittleEndian.AppendUint64(b, 1)  // one request, aligned
		b = binary.LittleEndian.AppendUint64(b, 40) // a
		b = binary.LittleEndian.AppendUint64(b, 2)  // b
		b = binary.LittleEndian.AppendUint32(b, 0)  // no response
		d.Messages = []bagtest.Message{{Time: 5, Data: b}}
		r := one(t, d)
		noLoss(t, r)
		if len(r.rows) != 1 || !strings.Contains(r.rows[0].cells, `"a":40,"b":2`) || !strings.Contains(r.rows[0].cells, "info.sequence_number=9") {
			t.Errorf("rows %+v, problems %+v", r.rows, r.problems)
		}
	})
	t.Run("24 definitions of the user", func(t *testing.T) {
		d := &bagtest.DB{Topics: []bagtest.Topic{{Name: "/x", Type: "my_msgs/msg/Outer"}}, Messages: []bagtest.Message{{Time: 5, Data: text("inner")}}}
		r := one(t, d)
		if p := r.has("no_schema"); p == nil || !strings.Contains(p.Detail, "my_msgs/msg/Outer") || !r.d.Tables[0].Raw || len(r.rows) != 1 {
			t.Errorf("rows %+v, problems %+v", r.rows, r.problems)
		}
		format := supplied(t, map[string]string{"my_msgs/msg/Outer.msg": "Inner inner", "my_msgs/msg/Inner.msg": "std_msgs/String text", "my_msgs/CMakeLists.txt": "x"})
		r = readWith(t, format, bag(t, map[string][]byte{"x_0.db3": d.Bytes()}), pipeline.Selection{}, pipeline.DecodeOptions{})
		if len(r.rows) != 1 || !strings.HasSuffix(r.rows[0].cells, "inner.text.data=inner") || r.d.Tables[0].Table.Attributes["definition_source"] != fromSupplied {
			t.Errorf("rows %+v, problems %+v", r.rows, r.problems)
		}
		if known, err := format.KnownTable("my_msgs/msg/Outer"); err != nil || known.Column("inner.text.data") < 0 {
			t.Errorf("known table %v, %v", known, err)
		}
	})
	t.Run("23, 24 definitions of the user in IDL", func(t *testing.T) {
		format := supplied(t, map[string]string{
			"my_msgs/msg/Outer.idl": "#include \"my_msgs/msg/Inner.idl\"\n#include \"my_msgs/msg/Plain.idl\"\nmodule my_msgs { module msg {\n" +
				"enum State { OFF, ON };\nunion Either switch (uint8) { case 1: uint32 whole; case 2: float part; };\n" +
				"struct Outer { State state; Either either; @optional uint16 maybe; my_msgs::msg::Inner inner; my_msgs::msg::Plain plain; }; }; };",
			"my_msgs/msg/Inner.idl":    "module my_msgs { module msg { struct Inner { string text; }; }; };",
			"my_msgs/msg/Plain.msg":    "uint8 n",
			"my_msgs/action/Go.action": "int32 way\n---\nbool there\n---\nInner left",
		})
		b := []byte{0, 7, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0, 0} // CDR2: state, either, no maybe
		b = append(b, 0, 0, 0, 3, 0, 0, 0, 'h', 'i', 0, 5)
		d := &bagtest.DB{Topics: []bagtest.Topic{{Name: "/x", Type: "my_msgs/msg/Outer"}}, Messages: []bagtest.Message{{Time: 5, Data: b}}}
		r := readWith(t, format, bag(t, map[string][]byte{"x_0.db3": d.Bytes()}), pipeline.Selection{}, pipeline.DecodeOptions{})
		if want := "state=1 state_label=ON either._d=1 either.whole=9 either.part=(null) maybe=(null) inner.text=hi plain.n=5"; len(r.rows) != 1 || !strings.HasSuffix(r.rows[0].cells, want) {
			t.Errorf("rows %+v, problems %+v", r.rows, r.problems)
		}
		if known, err := format.KnownTable("my_msgs/action/Go_FeedbackMessage"); err != nil || known.Column("feedback.left.text") < 0 || known.Column("goal_id.uuid") < 0 {
			t.Errorf("known table %v, %v", known, err)
		}
	})
	t.Run("24 no definitions there", func(t *testing.T) {
		var issue *pipeline.Issue
		_, err := FormatSpec().Configure(t.Context(), &Config{Definitions: pipeline.Text{Value: t.TempDir(), Path: "formats.rosbag2.definitions"}}, stores{})
		if !errors.As(err, &issue) || issue.Path == "" {
			t.Errorf("error %v", err)
		}
	})
	t.Run("built in, by distribution", func(t *testing.T) {
		for distro, want := range map[string]bool{"humble": false, "jazzy": true, "": false} {
			d := &bagtest.DB{Distro: distro, Topics: []bagtest.Topic{{Name: "/range", Type: "sensor_msgs/msg/Range"}}}
			r := one(t, d)
			if has := r.d.Tables[0].Table.Column("variance") >= 0; has != want || (r.has("assumed_definitions") != nil) != (distro == "") {
				t.Errorf("%q: variance %v, problems %+v", distro, has, r.problems)
			}
		}
	})
}

// stores is an environment without side tables, which loads files unless dry.
type stores struct {
	pipeline.Env
	dry bool
}

func (stores) OpenStore(ctx context.Context, uri string) (pipeline.Store, error) {
	return store.Open(ctx, uri)
}

func (stores) LoadTable(context.Context, pipeline.Text) (*pipeline.SideTable, error) {
	return nil, pipeline.ErrNotLoaded
}

func (s stores) LoadFile(ctx context.Context, uri pipeline.Text) (*pipeline.SideFile, error) {
	if s.dry {
		return nil, pipeline.ErrNotLoaded
	}
	data, err := os.ReadFile(uri.Value)
	return &pipeline.SideFile{URI: uri.Value, Data: data}, err
}

// supplied is the format with definitions given as files.
func supplied(t *testing.T, files map[string]string) *Format {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		at := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	made, err := FormatSpec(cdr.Encoding{}).Configure(t.Context(), &Config{Definitions: pipeline.Text{Value: dir}}, stores{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := FormatSpec().Configure(t.Context(), &Config{Definitions: pipeline.Text{Value: dir}}, stores{dry: true}); !errors.Is(err, pipeline.ErrNotLoaded) {
		t.Errorf("while validating: %v", err)
	}
	return made.(*Format)
}

// withDefinitions is the format with a folder of definitions.
func withDefinitions(t testing.TB, dir string) *Format {
	t.Helper()
	lib := &rosmsg.Library{}
	err := filepath.WalkDir(dir, func(p string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		return lib.Add(filepath.Base(dir), filepath.ToSlash(rel), text)
	})
	if err != nil {
		t.Fatal(err)
	}
	f := New(cdr.Encoding{})
	f.supplied = lib
	return f
}
