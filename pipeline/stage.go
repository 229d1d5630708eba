package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/drivemill/drivemill/pipeline/arrow"
)

// Stage is a configured node of the graph that turns batches into batches.
// It is immutable and shared by all units; what it holds beyond its
// configuration (a lookup table) was loaded when it was made.
type Stage interface {
	// Bind fixes the stage for the input tables of one unit: what comes out,
	// from which input columns, and which it reads besides. It reads no data
	// and is called several times for one unit. Every problem is reported, as
	// Issues with the position in the pipeline file. While a pipeline is only
	// being validated, an error that wraps ErrNotLoaded says that nothing is
	// wrong, but that the output columns depend on side data that was not read:
	// what follows in the graph cannot be checked.
	Bind(in []*Table) (*Binding, error)
}

// Binding is a stage bound to its input tables.
type Binding struct {
	Outputs []Output
	State   State
	// Lookback is how much time before a slice the stage must see to warm up.
	Lookback time.Duration
	// Open makes one processor. Stages without state get one for each worker.
	Open func(opt ProcessOptions) (Processor, error)
}

// ProcessOptions are given to a processor by the runner.
type ProcessOptions struct {
	Allocator arrow.Allocator
	// Spill is where a stage keeps rows that it has no room for; nil: nowhere.
	Spill Spill
	// Reject is told every row that the stage refuses, before it is dropped.
	// An error ends the unit. It is safe for concurrent use.
	Reject func(BadRow) error
	// Needed tells, for a table that the stage announced, which of its columns
	// anybody downstream looks at, parallel to its schema; nil: all of them. A
	// stage may leave the others null. Needed itself is nil where nobody knows.
	Needed func(t *Table) []bool
}

// Refuse accounts for row i of b, which the stage rejects for reason, and tells
// Reject about it. column is the one at fault, where it is one. Without a
// Reject the row ends the unit.
func (o ProcessOptions) Refuse(acct *Account, b *Batch, i int, column, reason string, err error) error {
	acct.Reject(reason, 1)
	record := b.Origin.At(i)
	if o.Reject == nil {
		return fmt.Errorf("table %s: record %d: %s: %w", b.Table.Name, record, reason, err)
	}
	return o.Reject(BadRow{Table: b.Table.Name, Record: record, Offset: -1, Column: column, Reason: reason, Err: err})
}

// Refusal is a row that a stage cannot process.
type Refusal struct {
	Row    int32
	Column string // the one at fault
	Reason string
	Err    error
}

// RefuseRows refuses rows of b, each once for its first refusal, in ascending
// order, and returns the positions of the others. It sorts bad.
func (o ProcessOptions) RefuseRows(acct *Account, b *Batch, bad []Refusal) ([]int32, error) {
	slices.SortStableFunc(bad, func(x, y Refusal) int { return int(x.Row - y.Row) })
	keep := make([]int32, 0, b.Rows())
	next := int32(0)
	for i, r := range bad {
		if i > 0 && r.Row == bad[i-1].Row {
			continue
		}
		if err := o.Refuse(acct, b, int(r.Row), r.Column, r.Reason, r.Err); err != nil {
			return nil, err
		}
		for ; next < r.Row; next++ {
			keep = append(keep, next)
		}
		next = r.Row + 1
	}
	for ; next < int32(b.Rows()); next++ {
		keep = append(keep, next)
	}
	return keep, nil
}

// State says how long a stage remembers.
type State uint8

const (
	// StateNone: each row stands alone. The runner may use many workers.
	StateNone State = iota
	// StateLookback: rows depend on those within Lookback before them.
	StateLookback
	// StateUnit: state lives as long as the unit.
	StateUnit
)

// Output is one table that leaves a stage.
type Output struct {
	Table *Table
	// Columns says for each column of Table.Schema where it comes from.
	Columns []Derivation
	// Reads are columns that decide which rows come out.
	Reads []Read
}

// Derivation is the lineage of one output column.
type Derivation struct {
	Inputs []ColumnRef
	// Identity: the values are those of the only input, unchanged. The
	// planner drops identity columns that nobody downstream needs, and their
	// inputs with them; inputs of other derivations are always read.
	Identity bool
	// Expression shows how it is computed, where it is.
	Expression string
}

// Read is a column that influences rows without ending up in a column.
type Read struct {
	ColumnRef
	How string // FILTER, JOIN, SORT, CONDITIONAL as in OpenLineage
}

// ColumnRef names a column of a table that enters a stage. Table is nil for
// a dataset outside the stream (a lookup table), which Dataset then names.
type ColumnRef struct {
	Table   *Table
	Dataset string
	Column  string
}

// Emit hands an element on to the next node, which then owns its batch. It
// blocks while the edge is full and fails when the unit is cancelled.
type Emit func(Element) error

// Processor does the work of a bound stage for one unit. One goroutine uses
// it; processors of one binding run in parallel.
//
// Accounting: rows that come in and do not go out are told to Account, so
// that in + created = out + filtered + rejected + absorbed holds.
type Processor interface {
	// Process takes over b and emits what becomes of it. An empty batch need
	// not be emitted. The runner forwards watermarks of stateless stages.
	Process(ctx context.Context, b *Batch, acct *Account, emit Emit) error
	// Flush is called once after the last batch.
	Flush(ctx context.Context, acct *Account, emit Emit) error
	// Close frees everything; it is always called, also after errors.
	Close()
}

// Account is where a processor tells what became of rows that it did not
// pass on. The runner reads it between calls and counts rows in and out itself.
type Account struct {
	Filtered int64 // dropped because the configuration says so
	Absorbed int64 // merged into other rows
	Created  int64 // made without a row coming in
	Rejected map[string]int64
	// Noted counts what is worth knowing and changes no number of rows, such as
	// cells that are null because a value was not sent.
	Noted map[string]int64
}

// Note counts n occurrences of what.
func (a *Account) Note(what string, n int64) {
	if n == 0 {
		return
	}
	if a.Noted == nil {
		a.Noted = make(map[string]int64)
	}
	a.Noted[what] += n
}

// Reject counts n rows refused for reason.
func (a *Account) Reject(reason string, n int64) {
	if n == 0 {
		return
	}
	if a.Rejected == nil {
		a.Rejected = make(map[string]int64)
	}
	a.Rejected[reason] += n
}

// RowStage is a stage that treats each table on its own and each row alone:
// most stages. Rows makes it a Stage.
type RowStage interface {
	// BindTable binds one table.
	BindTable(in *Table) (*RowBinding, error)
}

// RowBinding is a row stage bound to one table.
type RowBinding struct {
	Output Output
	// Open makes a function that owns b and returns what becomes of it, nil
	// for nothing left.
	Open func(opt ProcessOptions) (RowFunc, error)
}

// RowFunc processes one batch, which it takes over.
type RowFunc func(ctx context.Context, b *Batch, acct *Account) (*Batch, error)

// Rows turns a row stage into a stage.
func Rows(s RowStage) Stage { return rowStage{s} }

type rowStage struct{ RowStage }

func (s rowStage) Bind(in []*Table) (*Binding, error) {
	bound := make([]*RowBinding, len(in))
	out := &Binding{State: StateNone}
	var issues Issues
	var unknown error
	for i, t := range in {
		b, err := s.BindTable(t)
		switch {
		case err == nil:
		case issues.Add(err):
			continue
		case errors.Is(err, ErrNotLoaded):
			unknown = err
			continue
		default:
			return nil, err
		}
		bound[i] = b
		out.Outputs = append(out.Outputs, b.Output)
	}
	if err := issues.Err(); err != nil {
		return nil, err
	}
	if unknown != nil {
		return nil, unknown
	}
	out.Open = func(opt ProcessOptions) (Processor, error) {
		p := rowProcessor{}
		for i, t := range in {
			f, err := bound[i].Open(opt)
			if err != nil {
				return nil, err
			}
			p[t] = f
		}
		return p, nil
	}
	return out, nil
}

type rowProcessor map[*Table]RowFunc

func (p rowProcessor) Process(ctx context.Context, b *Batch, acct *Account, emit Emit) error {
	out, err := p[b.Table](ctx, b, acct)
	if err != nil || out == nil {
		return err
	}
	if out.Rows() == 0 {
		out.Release()
		return nil
	}
	return emit(Element{Batch: out})
}

func (rowProcessor) Flush(context.Context, *Account, Emit) error { return nil }
func (rowProcessor) Close()                                      {}
