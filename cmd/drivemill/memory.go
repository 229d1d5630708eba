package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/spf13/pflag"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/budget"
	"github.com/drivemill/drivemill/pipeline/config"
	"github.com/drivemill/drivemill/pipeline/spill"
)

// memoryFlags are the flags of commands that run units.
type memoryFlags struct {
	memory, spillDir, spillLimit string
	workers                      int
}

func (f *memoryFlags) add(fs *pflag.FlagSet) {
	fs.StringVar(&f.memory, "memory", "", "resident memory to stay within, such as 1GiB (default: 256MiB and 128MiB per core, or 75% of the container's limit)")
	fs.StringVar(&f.spillDir, "spill-dir", "", "directory for rows that the memory has no room for; none: never spill (default: the system's for temporary files)")
	fs.StringVar(&f.spillLimit, "spill-limit", "", "most bytes to spill, such as 100GB (default: what there is)")
	fs.IntVar(&f.workers, "workers", 0, "goroutines that each decoder, stage and encoder of a unit may use (default: one per core, fewer when memory is short)")
}

// plan divides the memory there is, and makes the collector keep to it; a
// GOMEMLIMIT that is set has the last word there.
func (f *memoryFlags) plan(ctx context.Context, env *environment) (budget.Plan, pipeline.Spill, error) {
	cores := runtime.GOMAXPROCS(0)
	var total int64
	if f.memory != "" {
		n, err := config.ParseSize(f.memory)
		if err != nil || n <= 0 {
			return budget.Plan{}, nil, usagef("--memory %q: want a size such as 1GiB", f.memory)
		}
		total = int64(n)
	} else {
		limit := budget.Surroundings{Root: os.DirFS("/"), Getenv: env.getenv}.Find(ctx)
		total = budget.Default(limit, cores)
	}
	if f.workers < 0 {
		return budget.Plan{}, nil, usagef("--workers must be 1 or more")
	}
	p, err := budget.Divide(total, cores)
	if err != nil {
		return p, nil, usageError{err}
	}
	if f.workers > 0 {
		p.Workers = f.workers
	}
	if _, set := env.getenv("GOMEMLIMIT"); !set {
		debug.SetMemoryLimit(p.Heap)
	}
	space, err := f.space()
	return p, space, err
}

// space is where rows are spilled to, nil for nowhere. A directory that was
// named must work; without a default one, rows that do not fit are an error
// when they come.
func (f *memoryFlags) space() (pipeline.Spill, error) {
	var limit int64
	if f.spillLimit != "" {
		n, err := config.ParseSize(f.spillLimit)
		if err != nil || n <= 0 {
			return nil, usagef("--spill-limit %q: want a size such as 100GB", f.spillLimit)
		}
		limit = int64(n)
	}
	switch f.spillDir {
	case "none":
		return nil, nil
	case "":
		if s := spill.NewSpace(os.TempDir(), limit); s.Check() == nil {
			return s, nil
		}
		return nil, nil
	}
	s := spill.NewSpace(f.spillDir, limit)
	if err := s.Check(); err != nil {
		return nil, usageError{fmt.Errorf("--spill-dir: %w", err)}
	}
	return s, nil
}
