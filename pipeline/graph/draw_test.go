package graph

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestDrawings are golden.
func TestDrawings(t *testing.T) {
	g := mustBuild(t, printed)
	for _, c := range []struct{ name, got string }{{"mmd", g.Mermaid()}, {"dot", g.DOT()}, {"svg", g.SVG()}} {
		name := "testdata/draw/drives." + c.name
		if *rewrite {
			if err := os.WriteFile(name, []byte(c.got), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(want), c.got); d != "" {
			t.Errorf("%s: -want +got:\n%s", name, d)
		}
	}
	dec := xml.NewDecoder(strings.NewReader(g.SVG()))
	for {
		if _, err := dec.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("the SVG is no XML: %v", err)
		}
	}
}
