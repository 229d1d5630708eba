package pipeline

import (
	"context"
	"errors"
)

// TableStage is a stage that treats each table on its own and remembers rows
// until the unit ends: sorting, counting. Tables makes it a Stage.
type TableStage interface {
	// BindTable binds one table.
	BindTable(in *Table) (*TableBinding, error)
}

// TableBinding is a table stage bound to one table. It has one output or
// several; its processor emits batches of exactly these tables.
type TableBinding struct {
	Outputs []Output
	Open    func(opt ProcessOptions) (Processor, error)
}

// Tables turns a table stage into a stage whose state is that of a unit.
func Tables(s TableStage) Stage { return tableStage{s} }

type tableStage struct{ TableStage }

func (s tableStage) Bind(in []*Table) (*Binding, error) {
	bound := make([]*TableBinding, len(in))
	out := &Binding{State: StateUnit}
	var issues Issues
	var unknown error
	for i, t := range in {
		b, err := s.BindTable(t)
		switch {
		case err == nil:
			bound[i] = b
			out.Outputs = append(out.Outputs, b.Outputs...)
		case issues.Add(err):
		case errors.Is(err, ErrNotLoaded):
			unknown = err
		default:
			return nil, err
		}
	}
	if err := issues.Err(); err != nil {
		return nil, err
	}
	if unknown != nil {
		return nil, unknown
	}
	out.Open = func(opt ProcessOptions) (Processor, error) {
		p := &tableProcessor{of: make(map[*Table]Processor)}
		for i, t := range in {
			one, err := bound[i].Open(opt)
			if err != nil {
				p.Close()
				return nil, err
			}
			p.of[t] = one
			p.order = append(p.order, one)
		}
		return p, nil
	}
	return out, nil
}

// tableProcessor has a processor for each table.
type tableProcessor struct {
	of    map[*Table]Processor
	order []Processor
}

func (p *tableProcessor) Process(ctx context.Context, b *Batch, acct *Account, emit Emit) error {
	return p.of[b.Table].Process(ctx, b, acct, emit)
}

func (p *tableProcessor) Flush(ctx context.Context, acct *Account, emit Emit) error {
	for _, one := range p.order {
		if err := one.Flush(ctx, acct, emit); err != nil {
			return err
		}
	}
	return nil
}

func (p *tableProcessor) Close() {
	for _, one := range p.order {
		one.Close()
	}
}
