package lineage

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/pipetest"
)

func balanced() Ledger {
	n := int64(12)
	return Ledger{
		Sources: []SourceEntry{{Input: "drives", Table: "/odom", Found: 10, Decoded: 7, Unselected: 2, Rejected: map[string]int64{"trailing_bytes": 1}, Indexed: &n, Lost: 2}},
		Edges:   []EdgeEntry{{From: "drives", To: "moving", Table: "/odom", Sent: 7, Received: 7}, {From: "moving", To: "lake", Table: "/odom", Sent: 4, Received: 4}},
		Nodes:   []NodeEntry{{Node: "moving", Table: "/odom", In: 7, Out: 4, Filtered: 2, Rejected: map[string]int64{"integer_overflow": 1}}},
		Sinks:   []SinkEntry{{Sink: "lake", Table: "odom", Received: 4, Written: 4, Files: 1}},
	}
}

// One row too many or too few anywhere is found.
func TestLedgerFindsEveryImbalance(t *testing.T) {
	l := balanced()
	if err := l.Check(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Ledger){
		"input drives":  func(l *Ledger) { l.Sources[0].Found++ },
		"decoded":       func(l *Ledger) { l.Sources[0].Decoded++ },
		"the index":     func(l *Ledger) { l.Sources[0].Lost-- },
		"edge drives":   func(l *Ledger) { l.Edges[0].Received-- },
		"but sent":      func(l *Ledger) { l.Edges[0].Sent--; l.Edges[0].Received--; l.Nodes[0].In--; l.Nodes[0].Filtered-- },
		"stage moving":  func(l *Ledger) { l.Nodes[0].Filtered-- },
		"but processed": func(l *Ledger) { l.Nodes[0].In++; l.Nodes[0].Out++ },
		"files hold":    func(l *Ledger) { l.Sinks[0].Written++ },
		"but took":      func(l *Ledger) { l.Sinks[0].Written++; l.Sinks[0].Received++ },
	} {
		l := balanced()
		spoil(&l)
		err := l.Check()
		if !errors.Is(err, pipeline.ErrLedger) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestCommitKeys(t *testing.T) {
	k := CommitKey{Slot: "0123456789abcdef", Sequence: 12, Revision: "a1b2c3d4e5f6"}
	got, ok := ParseCommitKey(k.String())
	if !ok || got != k {
		t.Errorf("%s reads back as %v, %v", k, got, ok)
	}
	for _, bad := range []string{"", "x", "a.b.c.json", "a.0.c.json", "a.-1.c.json", "a.1.c.txt"} {
		if _, ok := ParseCommitKey(bad); ok {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestParent(t *testing.T) {
	for in, want := range map[string]string{
		"s3://b/x/y": "s3://b/x", "s3://b/x": "s3://b", "s3://b": "s3://b", "/a/b": "/a", "/a": "/", "/": "/", "a/b": "a", "a": ".", ".": ".",
	} {
		if got := parent(in); got != want {
			t.Errorf("parent(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestParseParent(t *testing.T) {
	p, err := ParseParent("airflow/prod/dag.task/01941f29-7c00-7087-8940-40e512c257bd")
	if err != nil || p.Namespace != "airflow/prod" || p.Job != "dag.task" {
		t.Errorf("got %+v, %v", p, err)
	}
	for _, bad := range []string{"", "a/b", "a/b/not-a-uuid"} {
		if _, err := ParseParent(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestEventsAreValid(t *testing.T) {
	validator := pipetest.NewEventValidator(t)
	info := RunInfo{
		RunID: "01941f29-7c00-7087-8940-40e512c257bd", Namespace: "drivemill", Job: "urban", Description: "d", Version: "1", VCS: "abc",
		Parent:       &ParentRun{Namespace: "airflow", Job: "dag.task", RunID: "01941f29-7c00-7087-8940-40e512c257be", RootNamespace: "airflow", RootJob: "dag", RootRunID: "01941f29-7c00-7087-8940-40e512c257bf"},
		NominalStart: time.Unix(1e9, 0), NominalEnd: time.Unix(1e9+3600, 0),
	}
	c := &Commit{
		Inputs: []Input{{Input: "drives", URI: "s3://raw/v1/a.mcap", Size: 10}},
		Ledger: balanced(),
		Tables: []Table{{Output: "lake", Name: "odom", Rows: 4, Files: []pipeline.File{{Key: "odom/drive_date=2026-03-02/x.parquet", Rows: 4, Bytes: 9, Partition: map[string]string{"drive_date": "2026-03-02"}}},
			Columns: []Column{{Name: "ts", Type: "int64", From: []Origin{{Input: "drives", Table: "/odom", Column: "header.stamp"}}, Expression: "floor"},
				{Name: "t", Type: "float64", From: []Origin{{Dataset: "/data/weather.csv", Column: "t"}}, Identity: true}},
			Reads: []Origin{{Input: "drives", Table: "/odom", Column: "v", How: "FILTER"}}}},
	}
	for _, kind := range []string{"START", "COMPLETE", "FAIL", "ABORT"} {
		e := NewEvent(kind, time.Unix(1e9, 5), info)
		if kind != "START" {
			e.SumUp(func(string) string { return "s3://raw" }, func(string) string { return "/data/lake" }, []*Commit{c}, []*Commit{c})
		}
		if kind == "FAIL" {
			e.Failed(errors.New("it broke"))
		}
		b, err := e.Encode()
		if err != nil {
			t.Fatal(err)
		}
		validator.Check(t, b)
	}
}

func TestCompact(t *testing.T) {
	l := Ledger{
		Sources: []SourceEntry{{Input: "in", Table: "a", Found: 2, Decoded: 2}, {Input: "in", Table: "empty"}},
		Edges:   []EdgeEntry{{From: "in", To: "out", Table: "a", Sent: 2, Received: 2}, {From: "in", To: "out", Table: "empty"}},
		Sinks:   []SinkEntry{{Sink: "out", Table: "a", Received: 2, Written: 1, Files: 1, Rejected: map[string]int64{"bad": 1}}, {Sink: "out", Table: "empty"}},
	}
	if err := l.Check(); err != nil {
		t.Fatal(err)
	}
	before := l.Totals()
	l.Compact()
	if err := l.Check(); err != nil || l.Totals() != before {
		t.Errorf("%v, %+v", err, l.Totals())
	}
	if len(l.Edges) != 1 || len(l.Sinks) != 1 || len(l.Sources) != 2 {
		t.Errorf("%+v", l)
	}
}
