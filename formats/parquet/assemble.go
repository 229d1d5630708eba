package parquet

import (
	"context"
	"fmt"
	"math"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
)

// assembler puts the values of nested columns back together.
type assembler struct {
	src     pipeline.Source
	cursors []*cursor // by leaf
}

// row appends one row of n, which is a list.
func (a *assembler) row(ctx context.Context, n *readNode, col *column.Column) error {
	if err := a.read(ctx, n, col, 0); err != nil {
		return err
	}
	return a.each(n, func(c *cursor) error {
		// What follows must begin another row.
		if ok, err := c.ready(ctx, a.src); err != nil || !ok {
			return err
		}
		if c.rep[c.at] != 0 {
			return corrupt("column %s has more values in a row than its neighbours", c.leaf.path)
		}
		return nil
	})
}

// each calls f for the cursors below n.
func (a *assembler) each(n *readNode, f func(*cursor) error) error {
	if n.leaf != nil {
		return f(a.cursors[n.leaf.index])
	}
	for _, k := range n.kids {
		if err := a.each(k, f); err != nil {
			return err
		}
	}
	return nil
}

// entry returns the cursor of leaf l at an entry with repetition level rep.
func (a *assembler) entry(ctx context.Context, l *readLeaf, rep int) (*cursor, error) {
	c := a.cursors[l.index]
	ok, err := c.ready(ctx, a.src)
	if err != nil {
		return nil, err
	}
	if !ok || int(c.rep[c.at]) != rep {
		return nil, corrupt("column %s does not repeat as its neighbours do", l.path)
	}
	return c, nil
}

// skip passes over an entry of every leaf below n, in whose place there is
// nothing: its definition level is the same everywhere.
func (a *assembler) skip(ctx context.Context, n *readNode, rep int, def byte) error {
	if n.leaf != nil {
		c, err := a.entry(ctx, n.leaf, rep)
		if err != nil {
			return err
		}
		if c.def[c.at] != def {
			return corrupt("column %s is not null where its neighbours are", n.leaf.path)
		}
		c.at++
		return nil
	}
	for _, k := range n.kids {
		if err := a.skip(ctx, k, rep, def); err != nil {
			return err
		}
	}
	return nil
}

// read appends one value of n. The entries of all leaves below it must have
// repetition level rep, which is where a value of n begins.
func (a *assembler) read(ctx context.Context, n *readNode, col *column.Column, rep int) error {
	c, err := a.entry(ctx, n.first, rep)
	if err != nil {
		return err
	}
	def := c.def[c.at]
	if int(def) < n.def {
		if !n.nullable {
			return corrupt("column %s is null where it cannot be", n.first.path)
		}
		col.AppendNull()
		return a.skip(ctx, n, rep, def)
	}
	switch {
	case n.leaf != nil:
		c.at++
		return c.append(col, 1)
	case n.list:
		return a.list(ctx, n, col, rep, def)
	}
	for i, k := range n.kids {
		if err := a.read(ctx, k, col.Children[i], rep); err != nil {
			return err
		}
	}
	col.N++
	return nil
}

func (a *assembler) list(ctx context.Context, n *readNode, col *column.Column, rep int, def byte) error {
	elem, items := n.kids[0], col.Children[0]
	if int(def) == n.def {
		// An empty list.
		if err := a.skip(ctx, elem, rep, def); err != nil {
			return err
		}
		col.CloseValue(items.N)
		return nil
	}
	for {
		if err := a.read(ctx, elem, items, rep); err != nil {
			return err
		}
		if items.N > math.MaxInt32-1 {
			return fmt.Errorf("a batch of more than 2^31 list elements: %w", pipeline.ErrLimit)
		}
		rep = n.rep
		c := a.cursors[n.first.index]
		ok, err := c.ready(ctx, a.src)
		if err != nil {
			return err
		}
		if !ok || int(c.rep[c.at]) < n.rep {
			break
		}
	}
	col.CloseValue(items.N)
	return nil
}

// isFlat reports whether a column is one leaf that does not repeat.
func (n *readNode) isFlat() bool { return n.leaf != nil }

// field is the column of the batches.
func (n *readNode) field() arrow.Field {
	return arrow.Field{Name: n.name, Type: n.typ, Nullable: n.nullable}
}
