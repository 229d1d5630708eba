package lineage

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/drivemill/drivemill/pipeline"
)

// Ledger counts the rows of one unit from the source to the written files.
// Every side of every edge counts on its own.
type Ledger struct {
	Sources []SourceEntry `json:"sources"`
	Nodes   []NodeEntry   `json:"nodes,omitempty"`
	Edges   []EdgeEntry   `json:"edges"`
	Sinks   []SinkEntry   `json:"sinks"`
}

// SourceEntry is what a decoder did with the records of one table of one
// input. Found = Decoded + Unselected + the sum of Rejected. Where an index
// told a count, Indexed = Found + Lost.
type SourceEntry struct {
	Input      string           `json:"input"`
	Table      string           `json:"table"`
	Found      int64            `json:"found"`
	Decoded    int64            `json:"decoded"`
	Unselected int64            `json:"unselected,omitempty"`
	Rejected   map[string]int64 `json:"rejected,omitempty"`
	NullCells  map[string]int64 `json:"null_cells,omitempty"`
	Indexed    *int64           `json:"indexed,omitempty"`
	Lost       int64            `json:"lost,omitempty"`
	LostBytes  int64            `json:"lost_bytes,omitempty"`
	Bytes      int64            `json:"bytes"`
	pipeline.PayloadCounts
	// Raw means that the messages were not decoded but kept as bytes.
	Raw bool `json:"raw,omitempty"`
}

// NodeEntry is what a stage did with the rows of one input table.
// In + Created = Out + Filtered + Rejected + Absorbed over all its entries.
type NodeEntry struct {
	Node     string           `json:"node"`
	Table    string           `json:"table"`
	In       int64            `json:"in"`
	Created  int64            `json:"created,omitempty"`
	Out      int64            `json:"out"`
	Filtered int64            `json:"filtered,omitempty"`
	Absorbed int64            `json:"absorbed,omitempty"`
	Rejected map[string]int64 `json:"rejected,omitempty"`
	// Noted counts what changes no number of rows.
	Noted map[string]int64 `json:"noted,omitempty"`
}

// EdgeEntry is one table on one edge of the graph.
type EdgeEntry struct {
	From     string `json:"from"`
	To       string `json:"to"`
	Table    string `json:"table"`
	Sent     int64  `json:"sent"`
	Received int64  `json:"received"`
}

// SinkEntry is what a sink did with the rows of one lake table. Written is
// re-read from the footers of the files: Received = Written + rejected.
type SinkEntry struct {
	Sink     string           `json:"sink"`
	Table    string           `json:"table"`
	Received int64            `json:"received"`
	Written  int64            `json:"written"`
	Files    int              `json:"files"`
	Bytes    int64            `json:"bytes"`
	Rejected map[string]int64 `json:"rejected,omitempty"`
}

// Totals sums up a ledger.
type Totals struct {
	Found      int64 `json:"found"`
	Decoded    int64 `json:"decoded"`
	Unselected int64 `json:"unselected"`
	Filtered   int64 `json:"filtered"`
	Rejected   int64 `json:"rejected"`
	Written    int64 `json:"written"`
	Lost       int64 `json:"lost"`
	LostBytes  int64 `json:"lost_bytes"`
	NullCells  int64 `json:"null_cells"`
	// Raw counts those of Decoded that were kept as bytes.
	Raw int64 `json:"raw"`
	pipeline.PayloadCounts
}

func sum(m map[string]int64) int64 {
	var n int64
	for _, v := range m {
		n += v
	}
	return n
}

// Totals sums up all entries.
func (l *Ledger) Totals() Totals {
	var t Totals
	for _, s := range l.Sources {
		t.Found += s.Found
		t.Decoded += s.Decoded
		t.Unselected += s.Unselected
		t.Rejected += sum(s.Rejected)
		t.NullCells += sum(s.NullCells)
		if s.Raw {
			t.Raw += s.Decoded
		}
		t.Lost += max(s.Lost, 0) // an index may also promise too little
		t.LostBytes += s.LostBytes
		t.PayloadCounts.Add(s.PayloadCounts)
	}
	for _, n := range l.Nodes {
		t.Filtered += n.Filtered
		t.Rejected += sum(n.Rejected)
	}
	for _, s := range l.Sinks {
		t.Rejected += sum(s.Rejected)
		t.Written += s.Written
	}
	return t
}

// Loss reports whether rows were rejected or lost, or cells were made null.
func (t Totals) Loss() bool { return t.Rejected+t.Lost+t.LostBytes+t.NullCells > 0 }

// Check returns an error that wraps pipeline.ErrLedger and names every
// imbalance, or nil.
func (l *Ledger) Check() error {
	var bad []string
	say := func(format string, args ...any) { bad = append(bad, fmt.Sprintf(format, args...)) }
	for _, s := range l.Sources {
		if got := s.Decoded + s.Unselected + sum(s.Rejected); got != s.Found {
			say("input %s, table %s: found %d, but decoded %d + unselected %d + rejected %d = %d",
				s.Input, s.Table, s.Found, s.Decoded, s.Unselected, sum(s.Rejected), got)
		}
		if s.Indexed != nil && *s.Indexed != s.Found+s.Lost {
			say("input %s, table %s: the index promised %d, but found %d + lost %d", s.Input, s.Table, *s.Indexed, s.Found, s.Lost)
		}
	}
	decoded := make(map[[2]string]int64)
	for _, s := range l.Sources {
		decoded[[2]string{s.Input, s.Table}] += s.Decoded
	}
	type node struct{ in, created, out, gone int64 }
	nodes := make(map[string]*node)
	for _, n := range l.Nodes {
		e := nodes[n.Node]
		if e == nil {
			e = &node{}
			nodes[n.Node] = e
		}
		e.in += n.In
		e.created += n.Created
		e.out += n.Out
		e.gone += n.Filtered + n.Absorbed + sum(n.Rejected)
	}
	received := make(map[string]int64)
	for _, e := range l.Edges {
		if e.Sent != e.Received {
			say("edge %s -> %s, table %s: sent %d, received %d", e.From, e.To, e.Table, e.Sent, e.Received)
		}
		received[e.To] += e.Received
		if n, ok := decoded[[2]string{e.From, e.Table}]; ok && n != e.Sent {
			say("input %s, table %s: decoded %d, but sent %d to %s", e.From, e.Table, n, e.Sent, e.To)
		}
	}
	for _, name := range sortedKeys(nodes) {
		n := nodes[name]
		if n.in+n.created != n.out+n.gone {
			say("stage %s: in %d + created %d, but out %d + filtered, rejected and absorbed %d", name, n.in, n.created, n.out, n.gone)
		}
		if n.in != received[name] {
			say("stage %s: received %d over its edges, but processed %d", name, received[name], n.in)
		}
	}
	sinks := make(map[string]int64)
	for _, s := range l.Sinks {
		if s.Received != s.Written+sum(s.Rejected) {
			say("output %s, table %s: received %d, but the files hold %d and %d were rejected", s.Sink, s.Table, s.Received, s.Written, sum(s.Rejected))
		}
		sinks[s.Sink] += s.Received
	}
	for _, name := range sortedKeys(sinks) {
		if sinks[name] != received[name] {
			say("output %s: received %d over its edges, but took %d", name, received[name], sinks[name])
		}
	}
	if len(bad) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s", pipeline.ErrLedger, strings.Join(bad, "; "))
}

// Compact takes out what says nothing: edges that no row went over, and tables
// of outputs that got no rows and have no files. A database of thousands of
// messages announces a table for each, of which a drive has a few. A ledger
// that balances does so afterwards; Check comes first, because a row that should
// have gone over an edge and did not is seen in what is taken out.
func (l *Ledger) Compact() {
	l.Edges = slices.DeleteFunc(l.Edges, func(e EdgeEntry) bool { return e.Sent == 0 && e.Received == 0 })
	l.Sinks = slices.DeleteFunc(l.Sinks, func(s SinkEntry) bool {
		return s.Received == 0 && s.Written == 0 && s.Files == 0 && len(s.Rejected) == 0
	})
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
