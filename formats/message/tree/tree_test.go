package tree

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
)

// sample is {a int32 = 7; e enum; s {b string; n {c float64}}; l [int16]; o [{k int8; t string; m [bool]}]; f int8[2]}.
func sample() (root *Node, by map[string]*Node) {
	leaf := func(name string, k Kind, nullable bool) *Node { return &Node{Name: name, Kind: k, Nullable: nullable} }
	list := func(name string, elem *Node) *Node { return &Node{Name: name, Kind: List, Members: []*Node{elem}} }
	a := leaf("a", Int32, false)
	a.Default = 7
	e := leaf("e", Int32, true)
	e.Labels = NewLabels(map[int64]string{0: "off", 1: "on"})
	c := leaf("c", Float64, true)
	n := &Node{Name: "n", Kind: Struct, Nullable: true, Members: []*Node{c}}
	b := leaf("b", String, false)
	b.Text = "none"
	s := &Node{Name: "s", Kind: Struct, Nullable: true, Members: []*Node{b, n}}
	l := list("l", leaf("item", Int16, true))
	k, t, m := leaf("k", Int8, true), leaf("t", String, true), list("m", leaf("item", Bool, true))
	o := list("o", &Node{Name: "item", Kind: Struct, Nullable: true, Members: []*Node{k, t, m}})
	f := &Node{Name: "f", Kind: FixedList, Len: 2, Nullable: true, Members: []*Node{leaf("item", Int8, true)}}
	z := &Node{Name: "z", Kind: Struct, Nullable: true}
	root = &Node{Kind: Struct, Members: []*Node{a, e, s, l, o, f, z}}
	return root, map[string]*Node{"a": a, "e": e, "s": s, "b": b, "n": n, "c": c, "l": l, "o": o, "k": k, "t": t, "m": m, "f": f, "z": z}
}

// script runs a decoder of small programs: a message is words of a verb and a
// name, such as "put:a=5 open:l put:l[]=3".
func run(t *testing.T, columns []string, scripts ...string) []string {
	t.Helper()
	root, by := sample()
	l, err := NewLayout(root, "")
	if err != nil {
		t.Fatal(err)
	}
	p, err := l.Compile(columns)
	if err != nil {
		t.Fatal(err)
	}
	mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
	defer mem.AssertSize(t, 0)
	var cols []*column.Column
	var names []string
	for _, f := range l.Fields() {
		if columns == nil || strings.Contains(" "+strings.Join(columns, " ")+" ", " "+f.Name+" ") {
			cols = append(cols, column.New(mem, f.Type))
			names = append(names, f.Name)
		}
	}
	decode := func(f *Frame, start, end int) bool {
		for _, word := range strings.Fields(string(f.Data[start:end])) {
			verb, rest, _ := strings.Cut(word, ":")
			name, val, _ := strings.Cut(rest, "=")
			if verb == "fail" {
				return f.Fail(message.Malformed, start, None, "")
			}
			node := by[strings.TrimSuffix(name, "[]")]
			if strings.HasSuffix(name, "[]") {
				node = node.Members[0]
			}
			id := p.ID(node)
			if id == None {
				continue
			}
			switch verb {
			case "put":
				if k := f.Kind(id); k == String {
					if !f.PutText(id, []byte(val), start) {
						return false
					}
				} else {
					var v int64
					fmt.Sscan(val, &v)
					f.Put(id, uint64(v))
				}
			case "null":
				f.PutNull(id)
			case "open":
				f.Open(id)
			case "close":
				if !f.Close(id) {
					return false
				}
			case "clear":
				f.Clear(id)
			}
		}
		return true
	}
	var data []byte
	var spans []message.Span
	for _, s := range scripts {
		spans = append(spans, message.Span{Start: uint32(len(data)), End: uint32(len(data) + len(s))})
		data = append(data, s...)
	}
	var out []string
	rows := 0
	for at := 0; at < len(spans); {
		n, err := p.Run(cols, data, spans[at:], 1, decode)
		for range n {
			out = append(out, "")
		}
		at, rows = at+n, rows+n
		if err != nil {
			var e *message.Failure
			if !errors.As(err, &e) {
				t.Fatal(err)
			}
			out = append(out, "!"+e.Code)
			at++
		}
	}
	for i, c := range cols {
		if c.N != rows {
			t.Fatalf("column %s has %d values of %d", names[i], c.N, rows)
		}
		a := c.Finish()
		k := 0
		for r := range out {
			if !strings.HasPrefix(out[r], "!") {
				out[r] += fmt.Sprintf(" %s=%s", names[i], a.ValueStr(k))
				k++
			}
		}
		a.Release()
	}
	return out
}

func TestRows(t *testing.T) {
	absent := ` a=7 e=(null) e_label=(null) s.b=(null) s.n.c=(null) l=[] o=[] f=(null) z=(null)`
	for _, c := range []struct{ script, want string }{
		{"", absent},
		{"put:a=1 put:a=2 put:e=1", ` a=2 e=1 e_label=on s.b=(null) s.n.c=(null) l=[] o=[] f=(null) z=(null)`},
		{"open:s", strings.Replace(absent, "s.b=(null)", "s.b=none", 1)},
		{"open:s put:b=x clear:s", absent},
		{"open:l put:l[]=3 open:l put:l[]=4", strings.Replace(absent, "l=[]", "l=[3,4]", 1)},
		{"open:l put:l[]=3 clear:l open:l put:l[]=5", strings.Replace(absent, "l=[]", "l=[5]", 1)},
		{"null:l", strings.Replace(absent, "l=[]", "l=(null)", 1)},
		{"open:o open:o[] put:k=1 put:t=x close:o[] null:o[] open:o[] open:m put:m[]=1 null:m[] close:o[]", strings.Replace(absent, "o=[]", `o=[{"k":1,"m":[],"t":"x"},null,{"k":null,"m":[true,null],"t":null}]`, 1)},
		{"open:f put:f[]=1 put:f[]=2", strings.Replace(absent, "f=(null)", "f=[1,2]", 1)},
		{"put:z=1", strings.Replace(absent, "z=(null)", "z=true", 1)},
		{"open:o open:o[] put:t=x fail:", "!malformed"},
		{"open:l put:l[]=1 fail:", "!malformed"},
		{"open:s put:b=\xff", "!invalid_utf8"},
		{"", absent},
	} {
		// Before and after it, and between, rows are as they would be alone.
		got := run(t, nil, "", c.script, "put:a=9", c.script)
		if got[0] != absent || got[1] != c.want || got[3] != c.want || !strings.HasPrefix(got[2], " a=9") {
			t.Errorf("%s:\n%q\nwant\n%q", c.script, got, c.want)
		}
	}
	if got := run(t, []string{"s.n.c", "e_label"}, "open:s open:n put:c=0 put:e=0 put:a=3", "open:s"); got[0] != " e_label=off s.n.c=0" || got[1] != " e_label=(null) s.n.c=(null)" {
		t.Errorf("%q", got)
	}
}

// Random programs leave every column with one value per row, and the rows
// before a failure as they were.
func TestRandom(t *testing.T) {
	words := []string{"put:a=1", "put:e=1", "open:s", "put:b=x", "open:n", "put:c=3", "open:l", "put:l[]=4", "null:l[]", "clear:l", "null:s", "clear:s",
		"open:o", "open:o[] put:k=1 open:m put:m[]=0 close:o[]", "null:o[]", "clear:o", "null:o", "open:f put:f[]=1 put:f[]=2", "clear:f", "put:z=1"}
	r := rand.New(rand.NewPCG(1, 1))
	for range 300 {
		var scripts []string
		for range 5 {
			var s []string
			for range r.IntN(6) {
				w := words[r.IntN(len(words))]
				if strings.HasPrefix(w, "open:f") && strings.Contains(strings.Join(s, " "), "open:f") {
					continue
				}
				if strings.Contains(w, "l[]") {
					s = append(s, "open:l")
				}
				if strings.Contains(w, "o[]") {
					s = append(s, "open:o")
				}
				s = append(s, w)
			}
			scripts = append(scripts, strings.Join(s, " "))
		}
		together := run(t, nil, scripts...)
		for i, s := range scripts {
			if alone := run(t, nil, s)[0]; alone != together[i] {
				t.Fatalf("%s: %s alone, %s among others", s, alone, together[i])
			}
		}
	}
}

func TestLimits(t *testing.T) {
	deep := &Node{Kind: Int8, Name: "x"}
	for range MaxDepth + 1 {
		deep = &Node{Kind: List, Name: "x", Members: []*Node{deep}}
	}
	wide := &Node{Kind: Struct}
	for i := range MaxColumns + 1 {
		wide.Members = append(wide.Members, &Node{Name: fmt.Sprint(i)})
	}
	for name, root := range map[string]*Node{
		"deep": {Kind: Struct, Members: []*Node{deep}}, "wide": wide,
		"fixed": {Kind: Struct, Members: []*Node{{Name: "f", Kind: FixedList, Len: 1 << 11, Members: []*Node{{Kind: FixedList, Len: 1 << 11, Members: []*Node{{Kind: Int8}}}}}}},
	} {
		if _, err := NewLayout(root, ""); !errors.Is(err, pipeline.ErrLimit) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := NewLayout(&Node{Kind: Struct, Members: []*Node{{Name: "a"}, {Name: "a"}}}, ""); !errors.Is(err, pipeline.ErrSchema) {
		t.Error(err)
	}
	root, _ := sample()
	l, err := NewLayout(root, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Compile([]string{"nothing"}); !errors.Is(err, pipeline.ErrSchema) {
		t.Error(err)
	}
}

func TestLabels(t *testing.T) {
	if NewLabels(nil) != nil || NewLabels(map[int64]string{1: strings.Repeat("x", MaxLabel+1)}) != nil {
		t.Error("labels of nothing, or too long")
	}
	for _, names := range []map[int64]string{{-1: "a", 3: "b"}, {-1 << 63: "a", 1<<63 - 1: "b"}} {
		l := NewLabels(names)
		for n, s := range names {
			if l.Find(n) != s {
				t.Errorf("%d is %q", n, l.Find(n))
			}
		}
		if l.Find(77) != "" || l.Find(2) != "" {
			t.Error("a label of no number")
		}
	}
}

func BenchmarkRun(b *testing.B) {
	root, by := sample()
	l, err := NewLayout(root, "")
	if err != nil {
		b.Fatal(err)
	}
	p, err := l.Compile(nil)
	if err != nil {
		b.Fatal(err)
	}
	var cols []*column.Column
	for _, f := range l.Fields() {
		cols = append(cols, column.New(arrow.NewGoAllocator(), f.Type))
	}
	a, s, c, list := p.ID(by["a"]), p.ID(by["s"]), p.ID(by["c"]), p.ID(by["l"])
	decode := func(f *Frame, start, _ int) bool {
		v := uint64(binary.LittleEndian.Uint32(f.Data[start:]))
		f.Put(a, v)
		f.Open(s)
		f.Put(c, v)
		f.Open(list)
		return true
	}
	spans := make([]message.Span, 1000)
	for i := range spans {
		spans[i] = message.Span{End: 4}
	}
	b.SetBytes(4)
	b.ReportAllocs()
	for done := 0; done < b.N; done += len(spans) {
		for _, c := range cols {
			c.Reset()
		}
		if n, err := p.Run(cols, make([]byte, 4), spans, 1, decode); n != len(spans) || err != nil {
			b.Fatal(n, err)
		}
	}
}
