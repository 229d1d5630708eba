package pipeline

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/drivemill/drivemill/"

// mayImport lists what formats and stages import of this module beside the
// contracts below; every other import between them is a mistake.
var contracts = []string{
	"pipeline", "pipeline/arrow", "pipeline/column", "pipeline/expr", "pipeline/store", "pipeline/config", "formats/message",
}

// exceptions are imports between rooms that are wanted, with the reason.
var exceptions = map[string]string{
	"formats/message/ros1 -> formats/message/rosmsg":   "both ROS encodings share the grammar of definitions",
	"formats/message/cdr -> formats/message/rosmsg":    "both ROS encodings share the grammar of definitions",
	"formats/message/ros1 -> formats/message/wire":     "both ROS encodings compile to the same kind of program",
	"formats/message/cdr -> formats/message/wire":      "both ROS encodings compile to the same kind of program",
	"formats/message/wire -> formats/message/rosmsg":   "programs are compiled from parsed definitions",
	"formats/mdf4 -> formats/mdf4/conversion":          "conversions of channels are a room of their own",
	"stages/drivemodels -> stages/internal/cells":      "stages with state read and write cells alike",
	"stages/drivemodels -> stages/internal/fleet":      "stages over drives share what is known of models",
	"stages/afr -> stages/internal/cells":              "stages with state read and write cells alike",
	"stages/afr -> stages/internal/fleet":              "stages over drives share what is known of models",
	"stages/afr -> stages/internal/rate":               "rates and their intervals are computed once",
	"stages/sort -> stages/internal/cells":             "stages with state read and write cells alike",
	"stages/dedupe -> stages/internal/cells":           "stages with state read and write cells alike",
	"stages/survival -> stages/internal/cells":         "stages with state read and write cells alike",
	"stages/survival -> stages/internal/fleet":         "stages over drives share what is known of models",
	"stages/integrity -> stages/internal/cells":        "stages with state read and write cells alike",
	"formats/mdf4/mdf4test -> formats/mdf4/conversion": "files for tests declare conversions as blocks",
	"formats/images -> formats/parquet":                "the index of the frames is a table of the lake",
	"formats/video -> formats/parquet":                 "the index of the frames is a table of the lake",
	"formats/rosbag2 -> formats/mcap":                  "MCAP files are one of the two kinds of storage",
	"formats/rosbag2 -> formats/rosbag2/sqlite":        "the reader of databases, kept apart from what rosbag2 keeps in them",
	"formats/rosbag2 -> formats/message/rosmsg":        "definitions that a recording does not hold: supplied and built in",

	"formats/message/cdr -> formats/message/idl":  "schemas of CDR messages may be in IDL",
	"formats/message/cdr -> formats/message/tree": "encodings whose values come in any order put rows together alike",

	"formats/message/protobuf -> formats/message/tree":   "encodings whose values come in any order put rows together alike",
	"formats/message/jsonschema -> formats/message/tree": "the columns of a schema are a tree",
	"formats/message/json -> formats/message/tree":       "encodings whose values come in any order put rows together alike",
	"formats/message/cbor -> formats/message/tree":       "encodings whose values come in any order put rows together alike",
	"formats/message/flatbuffer -> formats/message/tree": "encodings whose values come in any order put rows together alike",
	"formats/message/json -> formats/message/jsonschema": "JSON and CBOR messages have the same schemas",
	"formats/message/cbor -> formats/message/jsonschema": "JSON and CBOR messages have the same schemas",
	"stages/dbc -> formats/dbc":                          "the stage decodes frames with CAN databases",
}

type sourceFile struct {
	path string // from the root of the module
	dir  string
	file *ast.File
	fset *token.FileSet
}

// sources parses every Go file of the module.
func sources(t *testing.T, tests bool) []sourceFile {
	t.Helper()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	var out []sourceFile
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if n := d.Name(); n != "." && strings.HasPrefix(n, ".") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || !tests && strings.HasSuffix(path, "_test.go") {
			return nil
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		out = append(out, sourceFile{path: rel, dir: strings.TrimSuffix(rel, "/"+filepath.Base(rel)), file: f, fset: fset})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 50 {
		t.Fatalf("only %d source files found below %s", len(out), root)
	}
	return out
}

// Rooms import contracts, not each other.
func TestImports(t *testing.T) {
	used := make(map[string]bool)
	for _, s := range sources(t, false) {
		for _, i := range s.file.Imports {
			path, _ := strconv.Unquote(i.Path.Value)
			if strings.HasPrefix(path, "github.com/apache/arrow") && s.dir != "pipeline/arrow" {
				t.Errorf("%s imports %s: use %spipeline/arrow", s.path, path, module)
			}
			own, ok := strings.CutPrefix(path, module)
			if !ok || !strings.HasPrefix(s.dir, "formats/") && !strings.HasPrefix(s.dir, "stages/") {
				continue
			}
			allowed := false
			for _, c := range contracts {
				allowed = allowed || own == c
			}
			if !allowed {
				edge := s.dir + " -> " + own
				if exceptions[edge] == "" {
					t.Errorf("%s imports %s: formats and stages import contracts, not each other", s.path, path)
				}
				used[edge] = true
			}
		}
	}
	for edge := range exceptions {
		if !used[edge] {
			t.Errorf("exception %q is not needed any more", edge)
		}
	}
}

// House rules that a reader would otherwise have to enforce.
func TestHouseRules(t *testing.T) {
	banned := map[string]string{
		"utils": "name it after what it does", "common": "name it after what it does", "helpers": "name it after what it does",
	}
	for _, s := range sources(t, false) {
		if why := banned[s.file.Name.Name]; why != "" {
			t.Errorf("%s: package %s: %s", s.path, s.file.Name.Name, why)
		}
		inMain := strings.HasPrefix(s.dir, "cmd/") || s.file.Name.Name == "main"
		forTests := strings.HasPrefix(s.dir, "pipeline/pipetest")
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if n.Name.Name == "init" && n.Recv == nil {
					t.Errorf("%s: init function: register in a plain function call", s.fset.Position(n.Pos()))
				}
			case *ast.SelectorExpr:
				x, ok := n.X.(*ast.Ident)
				if !ok || inMain || forTests {
					return true
				}
				switch x.Name + "." + n.Sel.Name {
				case "context.Background", "context.TODO":
					t.Errorf("%s: a context comes from the caller", s.fset.Position(n.Pos()))
				case "log.Fatal", "log.Fatalf", "os.Exit":
					t.Errorf("%s: return an error; only cmd ends the process", s.fset.Position(n.Pos()))
				}
			}
			return true
		})
	}
}

// Every package begins with a comment that says what it is.
func TestPackageComments(t *testing.T) {
	has := make(map[string]bool)
	for _, s := range sources(t, false) {
		if s.file.Doc != nil && strings.TrimSpace(s.file.Doc.Text()) != "" {
			has[s.dir] = true
		} else if !has[s.dir] {
			has[s.dir] = false
		}
	}
	for dir, ok := range has {
		if !ok && dir != "bench" {
			t.Errorf("package %s has no package comment", dir)
		}
	}
}

// Every format says what a file may claim at most: in its package comment, and in
// the table of all formats.
func TestLimitsAreStated(t *testing.T) {
	table, err := os.ReadFile("../formats/README.md")
	if err != nil {
		t.Fatal(err)
	}
	stated := make(map[string]bool)
	for _, s := range sources(t, false) {
		name, ok := strings.CutPrefix(s.dir, "formats/")
		if !ok || strings.Contains(name, "/") {
			continue
		}
		stated[name] = stated[name] || s.file.Doc != nil && regexp.MustCompile(`(?i)\blimits\b`).MatchString(s.file.Doc.Text())
	}
	if len(stated) < 10 {
		t.Fatalf("only %d formats were found", len(stated))
	}
	for name, ok := range stated {
		if !ok && name != "message" {
			t.Errorf("the comment of package formats/%s does not state its limits", name)
		}
		if !strings.Contains(string(table), "| `"+name+"` |") {
			t.Errorf("formats/README.md has no line for %s", name)
		}
	}
}

// Every direct dependency is named in ARCHITECTURE.md with its reason.
func TestDependenciesAreExplained(t *testing.T) {
	mod, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	arch, err := os.ReadFile("../ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^\t(\S+) v\S+$`).FindAllStringSubmatch(string(mod), -1) {
		if !strings.Contains(string(arch), "`"+m[1]+"`") {
			t.Errorf("ARCHITECTURE.md does not say why %s is needed", m[1])
		}
	}
}
