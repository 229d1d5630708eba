package graph

import (
	"cmp"
	"fmt"
	"html"
	"slices"
	"strconv"
	"strings"
)

// box is an input, stage or output in a drawing.
type box struct {
	id, name, what string
	kind           string // input, stage, output
	from           []arc
}

// arc leads to a box; label is the key of the tables it carries.
type arc struct {
	box   int
	label string
}

// boxes lists what is drawn: inputs, then nodes in topological order.
func (g *Graph) boxes() []box {
	var out []box
	for i, in := range g.inputs {
		what := in.Format
		if what == "" {
			what = "input"
		}
		out = append(out, box{id: "i" + strconv.Itoa(i), name: in.Name, what: what, kind: "input"})
	}
	for i, n := range g.nodes {
		b := box{id: "n" + strconv.Itoa(i), name: n.Name, what: n.Use, kind: "stage"}
		if n.Sink {
			b.kind = "output"
		}
		for _, r := range n.from {
			if r.input >= 0 {
				b.from = append(b.from, arc{r.input, r.key})
			} else {
				b.from = append(b.from, arc{len(g.inputs) + r.node, ""})
			}
		}
		out = append(out, b)
	}
	return out
}

// Mermaid draws the graph as a Mermaid flowchart.
func (g *Graph) Mermaid() string {
	var b strings.Builder
	b.WriteString("flowchart LR\n")
	shapes := map[string][2]string{"input": {"[(", ")]"}, "stage": {"[", "]"}, "output": {"[[", "]]"}}
	all := g.boxes()
	for _, x := range all {
		s := shapes[x.kind]
		fmt.Fprintf(&b, "  %s%s\"%s<br/><small>%s</small>\"%s\n", x.id, s[0], html.EscapeString(x.name), html.EscapeString(x.what), s[1])
	}
	for _, x := range all {
		for _, a := range x.from {
			arrow := "-->"
			if a.label != "" {
				arrow = fmt.Sprintf("-->|%s|", html.EscapeString(a.label))
			}
			fmt.Fprintf(&b, "  %s %s %s\n", all[a.box].id, arrow, x.id)
		}
	}
	return b.String()
}

// DOT draws the graph in the language of Graphviz.
func (g *Graph) DOT() string {
	var b strings.Builder
	fmt.Fprintf(&b, "digraph %s {\n  rankdir=LR;\n  node [fontname=\"sans-serif\"];\n", dotQuote(g.Pipeline.Name))
	shapes := map[string]string{"input": "cylinder", "stage": "box", "output": "folder"}
	all := g.boxes()
	for _, x := range all {
		fmt.Fprintf(&b, "  %s [shape=%s, label=%s];\n", x.id, shapes[x.kind], dotQuote(x.name+"\n"+x.what))
	}
	for _, x := range all {
		for _, a := range x.from {
			label := ""
			if a.label != "" {
				label = fmt.Sprintf(" [label=%s]", dotQuote(a.label))
			}
			fmt.Fprintf(&b, "  %s -> %s%s;\n", all[a.box].id, x.id, label)
		}
	}
	b.WriteString("}\n")
	return b.String()
}

func dotQuote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s) + `"`
}

// Measures of the SVG, in pixels.
const (
	boxHeight = 44
	rowGap    = 22
	layerGap  = 90
	margin    = 20
	charWidth = 8 // of a name, at most
)

var boxColours = map[string][2]string{ // fill, border
	"input":  {"#e8f1fb", "#3b6ea5"},
	"stage":  {"#ffffff", "#666666"},
	"output": {"#eaf6ea", "#3f8646"},
}

// place is where a box stands.
type place struct{ x, y, w int }

// SVG draws the graph as an SVG image: boxes in layers from left to right.
func (g *Graph) SVG() string {
	all, layers := layered(g.boxes())
	at := make([]place, len(all))
	width, height, x := 0, 0, margin
	for _, l := range layers {
		w := 0
		for _, i := range l {
			if all[i].kind != "" {
				w = max(w, 24+charWidth*max(len([]rune(all[i].name)), len([]rune(all[i].what))))
			}
		}
		for k, i := range l {
			at[i] = place{x, margin + k*(boxHeight+rowGap), w}
			height = max(height, at[i].y+boxHeight+margin)
		}
		x += w + layerGap
		width = x - layerGap + margin
	}
	// Short layers stand in the middle.
	for _, l := range layers {
		used := len(l)*(boxHeight+rowGap) - rowGap
		for _, i := range l {
			at[i].y += (height - 2*margin - used) / 2
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" font-size=\"13\">\n", width, height, width, height)
	fmt.Fprintf(&b, "<title>%s</title>\n", html.EscapeString(g.Pipeline.Name))
	b.WriteString("<defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" orient=\"auto\"><path d=\"M0 0 L8 4 L0 8 z\" fill=\"#666666\"/></marker></defs>\n")
	b.WriteString("<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n")
	for i, x := range all {
		arcs := slices.Clone(x.from)
		slices.SortStableFunc(arcs, func(a, b arc) int { return at[a.box].y - at[b.box].y })
		for k, a := range arcs {
			drawArc(&b, at[a.box], at[i], k, len(arcs), a.label, x.kind != "")
		}
		if x.kind == "" {
			y := at[i].y + boxHeight/2
			fmt.Fprintf(&b, "<path d=\"M%d %d H%d\" fill=\"none\" stroke=\"#666666\"/>\n", at[i].x, y, at[i].x+at[i].w)
		}
	}
	for i, x := range all {
		if x.kind == "" {
			continue
		}
		p, c := at[i], boxColours[x.kind]
		fmt.Fprintf(&b, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"6\" fill=\"%s\" stroke=\"%s\"/>\n", p.x, p.y, p.w, boxHeight, c[0], c[1])
		fmt.Fprintf(&b, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\" fill=\"#111111\">%s</text>\n", p.x+p.w/2, p.y+18, html.EscapeString(x.name))
		fmt.Fprintf(&b, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\" font-size=\"11\" fill=\"#666666\">%s</text>\n", p.x+p.w/2, p.y+34, html.EscapeString(x.what))
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// drawArc draws the k-th of n arcs that arrive at a box, with a tip unless it
// goes on from there.
func drawArc(b *strings.Builder, from, to place, k, n int, label string, tip bool) {
	x1, y1 := from.x+from.w, from.y+boxHeight/2
	x2, y2 := to.x, to.y+boxHeight*(k+1)/(n+1)
	marker := ""
	if tip {
		marker = " marker-end=\"url(#tip)\""
	}
	fmt.Fprintf(b, "<path d=\"M%d %d C%d %d %d %d %d %d\" fill=\"none\" stroke=\"#666666\"%s/>\n", x1, y1, (x1+x2)/2, y1, (x1+x2)/2, y2, x2, y2, marker)
	if label != "" {
		fmt.Fprintf(b, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\" font-size=\"11\" fill=\"#3b6ea5\">%s</text>\n", x2-12, y2-4, html.EscapeString(label))
	}
}

// layered puts every box one layer behind the last of those it comes from,
// outputs in the last layer. Where an arc passes a layer it gets a box without
// a kind there, to keep its way clear. Each layer is ordered so that few arcs
// cross.
func layered(all []box) ([]box, [][]int) {
	depth := make([]int, len(all))
	last := 0
	for i, x := range all {
		for _, a := range x.from {
			depth[i] = max(depth[i], depth[a.box]+1)
		}
		last = max(last, depth[i])
	}
	layers := make([][]int, last+1)
	for i, x := range all {
		if x.kind == "output" {
			depth[i] = last
		}
		layers[depth[i]] = append(layers[depth[i]], i)
	}
	for i := range all[:len(all):len(all)] {
		for k, a := range all[i].from {
			for d := depth[a.box] + 1; d < depth[i]; d++ {
				all = append(all, box{from: []arc{{box: a.box}}})
				a.box = len(all) - 1
				layers[d] = append(layers[d], a.box)
			}
			all[i].from[k] = a
		}
	}
	order(all, layers)
	return all, layers
}

// order moves each box towards the middle of its neighbours, a few times over.
func order(all []box, layers [][]int) {
	back, ahead := make([][]int, len(all)), make([][]int, len(all))
	for i, x := range all {
		for _, a := range x.from {
			back[i] = append(back[i], a.box)
			ahead[a.box] = append(ahead[a.box], i)
		}
	}
	rank := make([]float64, len(all))
	number := func(l []int) {
		for k, i := range l {
			rank[i] = float64(2*k+1) / float64(2*len(l))
		}
	}
	for _, l := range layers {
		number(l)
	}
	sweep := func(l []int, neighbours [][]int) {
		middle := make(map[int]float64, len(l))
		for _, i := range l {
			middle[i] = rank[i]
			if ns := neighbours[i]; len(ns) > 0 {
				sum := 0.0
				for _, n := range ns {
					sum += rank[n]
				}
				middle[i] = sum / float64(len(ns))
			}
		}
		slices.SortStableFunc(l, func(a, b int) int { return cmp.Compare(middle[a], middle[b]) })
		number(l)
	}
	for range 4 {
		for _, l := range layers[1:] {
			sweep(l, back)
		}
		for k := len(layers) - 2; k >= 0; k-- {
			sweep(layers[k], ahead)
		}
	}
}
