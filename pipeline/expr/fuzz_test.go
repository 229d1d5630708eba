package expr

import (
	"testing"
	"unicode/utf8"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// FuzzCompile feeds texts to the checker: none may bring it down, every
// mistake lies inside the text, and what compiles can be evaluated.
func FuzzCompile(f *testing.F) {
	for _, s := range []string{
		"i + 1 > u and not (s contains 'a')", "`Engine Speed [rpm]` ?? f", "b ? ts : ts + d", "i in [1, 2.5, 18446744073709551615]",
		"timestamp('2024-05-01T08:00:00Z') < ts", "if b {1} else {2}", "-9223372036854775808 % i", "s matches '^(a|b)+$' /* x */",
		"min(i, u, f) ** 2 // end", "header.`in`.x[1:2]?.y | abs()", "filter([1], {# > 1})", "let x = 1; x", `b"abc" == 'ü\u{1F600}'`,
	} {
		f.Add(s)
	}
	table, rec := sample(arrow.NewGoAllocator())
	f.Fuzz(func(t *testing.T, s string) {
		p, err := Compile(pipeline.Text{Value: s, Pos: pipeline.Pos{File: "p", Line: 1, Col: 1}}, table)
		if err != nil {
			var is pipeline.Issues
			if !is.Add(err) {
				t.Fatalf("%q: %T: %v", s, err, err)
			}
			for _, i := range is.All() {
				if i.Pos.Col < 1 || utf8.ValidString(s) && i.Pos.Col > utf8.RuneCountInString(s)+1 {
					t.Errorf("%q: mistake at column %d: %v", s, i.Pos.Col, i)
				}
			}
			return
		}
		if p.Type() == invalid {
			t.Fatalf("%q has no type", s)
		}
		if p.Type() == Opaque && !p.bare {
			t.Fatalf("%q computes an opaque column", s)
		}
		render(t, p, arrow.NewGoAllocator(), rec)
		if p.Type() == Bool {
			p.Select(p.NewScratch(), rec.Columns(), int(rec.NumRows()))
		}
	})
}
