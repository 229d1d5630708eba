package dbc

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/drivemill/drivemill/pipeline"
)

func TestParse(t *testing.T) {
	t.Run("10 identifiers", func(t *testing.T) {
		db := parse(t, "BO_ 2348875518 A: 8 X\nBO_ 256 B: 8 X\nBO_ 2147483904 C: 8 X\nBO_ 256 D: 8 X\n")
		got := ""
		for _, m := range db.Messages {
			got += fmt.Sprintf("%s %#x %v; ", m.Name, m.ID, m.Extended)
		}
		if got != "A 0xc00fefe true; B 0x100 false; C 0x100 true; " {
			t.Error(got)
		}
		if problems(db) != "x.dbc:4:5: message D has the identifier of message B (line 2), which counts; skipped\n" {
			t.Error(problems(db))
		}
	})
	t.Run("11 signals of no message", func(t *testing.T) {
		db := parse(t, "BO_ 3221225472 VECTOR__INDEPENDENT_SIG_MSG: 0 Vector__XXX\n SG_ A : 0|8@1+ (1,0) [0|0] \"\" Vector__XXX\nCM_ SG_ 3221225472 A \"x\";\nBA_ \"a\" SG_ 3221225472 A 1;\n")
		if len(db.Messages) != 0 || len(db.Problems) != 0 {
			t.Error(db.Messages, problems(db))
		}
	})
	t.Run("12 little in it", func(t *testing.T) {
		db := parse(t, "VERSION \"\"\nNS_ :\nBS_:\nBU_:\nBO_ 1 A: 0\nBO_ 2 B : 8 X\nBO_ 3 C: 8\n SG_ S : 0|8@1+ (1,0) [0|0] \"\"\n SG_ T : 8|8@1+ (1,0) [0|0] \"\" X,Y\n")
		if len(db.Messages) != 3 || len(db.Messages[2].Signals) != 2 || len(db.Problems) != 0 {
			t.Error(len(db.Messages), problems(db))
		}
		if got := fmt.Sprint(db.Messages[2].Signals[1].Receivers, db.Messages[1].Senders); got != "[X Y] [X]" {
			t.Error(got)
		}
	})
	t.Run("14 encodings", func(t *testing.T) {
		text := "BO_ 1 M: 8 X\n SG_ A : 0|8@1+ (1,0) [0|0] \"%s\" X\n"
		for in, want := range map[string]string{"°C": "°C", "\xb0C": "°C", "\x80": "€", "\xc9\xe3": "Éã"} {
			if u := parse(t, fmt.Sprintf(text, in)).Messages[0].Signals[0].Unit; u != want {
				t.Errorf("%q: %q, want %q", in, u, want)
			}
		}
		db := parse(t, "\ufeff"+fmt.Sprintf(text, "°"))
		if db.Messages[0].Signals[0].Unit != "°" || len(db.Problems) > 0 {
			t.Error("byte order mark", problems(db))
		}
	})
	t.Run("15 statements inside a comment", func(t *testing.T) {
		db := parse(t, "BO_ 1 M: 8 X\nCM_ BO_ 1 \"say \\\";\nBO_ 1 x: 8 y\";\nBO_ 2 N: 8 X\n")
		if len(db.Messages) != 2 || db.Messages[0].Comment != "say \";\nBO_ 1 x: 8 y" || len(db.Problems) > 0 {
			t.Errorf("%q %s", db.Messages[0].Comment, problems(db))
		}
	})
	t.Run("16 unknown statement", func(t *testing.T) {
		db := parse(t, "FOO_ 1 \"a;b\" 2;\nBO_ 1 M: 8 X\n")
		if len(db.Messages) != 1 || problems(db) != "x.dbc:1:1: unknown statement \"FOO_\", skipped\n" {
			t.Error(problems(db))
		}
	})
	t.Run("36 long names", func(t *testing.T) {
		db := parse(t, `BO_ 1 Short: 8 X
 SG_ Sw M : 0|8@1+ (1,0) [0|0] "" X
 SG_ A m1 : 8|8@1+ (1,0) [0|0] "" X
BA_DEF_ BO_ "SystemMessageLongSymbol" STRING ;
BA_DEF_ SG_ "SystemSignalLongSymbol" STRING ;
BA_DEF_DEF_ "SystemMessageLongSymbol" "";
BA_ "SystemMessageLongSymbol" BO_ 1 "AMessageWithAVeryLongNameIndeedYes";
BA_ "SystemSignalLongSymbol" SG_ 1 Sw "ASwitchWithAVeryLongNameIndeedYes";
VAL_ 1 Sw 1 "one";
SG_MUL_VAL_ 1 A Sw 1-2;
`)
		m := db.Messages[0]
		var names []string
		for _, f := range NewPlan(m, Options{}).Fields() {
			names = append(names, f.Name)
		}
		if m.Name != "AMessageWithAVeryLongNameIndeedYes" || fmt.Sprint(names) != "[ASwitchWithAVeryLongNameIndeedYes ASwitchWithAVeryLongNameIndeedYes_label A]" || m.Signals[1].Parent != m.Signals[0] {
			t.Error(m.Name, names, problems(db))
		}
	})
	t.Run("37 enumerations by index and text", func(t *testing.T) {
		text := `BO_ 2147483649 A: 8 X
BO_ 2147483650 B: 8 X
BO_ 2147483651 C: 8 X
BA_DEF_ BO_ "VFrameFormat" %s;
BA_DEF_DEF_ "VFrameFormat" %s;
BA_ "VFrameFormat" BO_ 2147483649 3;
BA_ "VFrameFormat" BO_ 2147483650 %s;
`
		for _, db := range []*Database{
			parse(t, fmt.Sprintf(text, `ENUM "StandardCAN","ExtendedCAN","reserved","J1939PG","a,b"`, `"ExtendedCAN"`, `"J1939PG"`)),
			parse(t, fmt.Sprintf(text, `INT 0 15`, `1`, `3`)),
		} {
			if a, b, c := db.Messages[0].Protocol, db.Messages[1].Protocol, db.Messages[2].Protocol; a != J1939 || b != J1939 || c != PlainCAN || len(db.Problems) > 0 {
				t.Error(a, b, c, problems(db))
			}
		}
	})
}

// What is wrong is named with its place, and the rest is read.
func TestProblems(t *testing.T) {
	db := parse(t, `VERSION ""
BS_: 500000 : 1,2
BO_ 1 M: 8 X
 SG_ Good : 0|8@1+ (1.0, 0.0) [0 | 1e3] "" X
 SG_ Zero : 0|0@1+ (1,0) [0|0] "" X
 SG_ Wide : 0|65@1+ (1,0) [0|0] "" X
 SG_ Order : 0|8@2+ (1,0) [0|0] "" X
 SG_ Mark q7 : 8|8@1+ (1,0) [0|0] "" X
 SG_ Limits : 16|8@1+ (0,2) [zero|0] "" X
 SG_ Beyond : 60|8@1+ (1,0) [0|0] "" X
 SG_ Good : 24|8@1+ (1,0) [0|0] "" X
 SG_ M : 32|8@1+ (1,0) [0|0] "" X
 SG_ BO_ : 40|8@1+ (1,0) [0|0] "" X
 SG_ Float : 48|11@1+ (1,0) [0|0] "" X
BO_ bad N: 8 X
 SG_ Lost : 0|8@1+ (1,0) [0|0] "" X
CM_ SG_ 1 "no name";
CM_ BO_ 1 "fine"
VAL_ 1 Good 1 "one" two "two";
VAL_ 9 Good 1 "one";
SIG_VALTYPE_ 1 Float : 1;
BA_ "x" BO_ 1 ;
SG_MUL_VAL_ 1 Good Nobody 0-1;
BO_ 2 Last: 8 X
 SG_ End : 0|8@1+ (1,0) [0|0] "" X
VAL_ 1 M 1 "never ends;
`)
	var names []string
	for _, m := range db.Messages {
		for _, s := range m.Signals {
			names = append(names, m.Name+"."+s.Name)
		}
	}
	if got := strings.Join(names, " "); got != "M.Good M.Mark M.Limits M.Beyond M.M M.BO_ M.Float Last.End" {
		t.Error(got)
	}
	var lines []string
	for _, p := range db.Problems {
		if p.Pos.File != "x.dbc" || p.Pos.Col == 0 {
			t.Errorf("no place: %v", p)
		}
		lines = append(lines, fmt.Sprint(p.Pos.Line))
	}
	if got := strings.Join(lines, " "); got != "5 6 7 8 9 9 10 11 15 17 19 19 20 21 22 23 26 27" {
		t.Errorf("problems in lines %s\n%s", got, problems(db))
	}
}

func TestRefused(t *testing.T) {
	for name, c := range map[string]struct {
		file, text string
		kind       error
	}{
		"arxml":       {"x.arxml", "<?xml version=\"1.0\"?><AUTOSAR>", pipeline.ErrUnsupported},
		"arxml, dbc":  {"x.dbc", "<?xml version=\"1.0\"?><AUTOSAR>", pipeline.ErrUnsupported},
		"kcd":         {"x.kcd", "<NetworkDefinition>", pipeline.ErrUnsupported},
		"sym":         {"x.sym", "FormatVersion=6.0", pipeline.ErrUnsupported},
		"empty":       {"x.dbc", "", pipeline.ErrCorrupt},
		"no database": {"x.dbc", "hello, world", pipeline.ErrCorrupt},
	} {
		if _, err := Parse(c.file, []byte(c.text)); !errors.Is(err, c.kind) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Every beginning of a database is read without a panic.
func TestTruncated(t *testing.T) {
	for _, name := range []string{"powertrain.dbc", "truck.dbc"} {
		data, err := os.ReadFile(filepath.Join("..", "..", "testdata", "can", name))
		if err != nil {
			t.Fatal(err)
		}
		for n := range data {
			if db, err := Parse(name, data[:n]); err == nil {
				for _, m := range db.Messages {
					NewPlan(m, Options{})
				}
			}
		}
		db := parse(t, string(data))
		if len(db.Problems) > 0 || len(db.Messages) < 2 {
			t.Errorf("%s: %s", name, problems(db))
		}
	}
}

// The databases of other projects are read; what is meant as broken has its
// place.
func TestConformance(t *testing.T) {
	root := os.Getenv("DRIVEMILL_CONFORMANCE")
	if root == "" {
		t.Skip("DRIVEMILL_CONFORMANCE is not set")
	}
	files, err := filepath.Glob(filepath.Join(root, "dbc", "*"))
	if err != nil || len(files) == 0 {
		t.Fatal("no database found", err)
	}
	t.Run("13 databases of other projects", func(t *testing.T) {
		for _, f := range files {
			data, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			db, err := Parse(filepath.Base(f), data)
			if err != nil {
				t.Error(err)
				continue
			}
			if len(db.Messages) == 0 && strings.Contains(string(data), "\nBO_ ") && !strings.Contains(string(data), noMessage) {
				t.Errorf("%s: no message", f)
			}
			for _, p := range db.Problems {
				if p.Pos.Line == 0 {
					t.Errorf("no place: %v", p)
				}
			}
			t.Logf("%s: %s, %d messages, %d problems", filepath.Base(f), db.Encoding, len(db.Messages), len(db.Problems))
		}
	})
}
