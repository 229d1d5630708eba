package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"sort"

	"github.com/spf13/pflag"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/config"
	"github.com/drivemill/drivemill/pipeline/graph"
	"github.com/drivemill/drivemill/pipeline/runner"
	"github.com/drivemill/drivemill/pipeline/store"
)

// loadFlags are the flags of all commands that read a pipeline.
type loadFlags struct{ set []string }

func (f *loadFlags) add(fs *pflag.FlagSet) {
	fs.StringArrayVar(&f.set, "set", nil, "override a value of the pipeline, as path=value; may be repeated")
}

// read loads a pipeline file, - for standard input.
func (f *loadFlags) read(env *environment, reg *pipeline.Registry, file string) (*config.Pipeline, error) {
	var data []byte
	var err error
	name := file
	if file == "-" {
		name = "<stdin>"
		data, err = io.ReadAll(os.Stdin)
	} else {
		data, err = os.ReadFile(file)
	}
	if err != nil {
		return nil, &pipeline.Issue{Message: fmt.Sprintf("reading the pipeline: %v", err)}
	}
	return config.Load(name, data, config.LoadOptions{Set: f.set, Env: env.getenv}, reg)
}

// graph loads a pipeline and builds its graph; all mistakes of both are
// reported together. Side tables are only read when data is true.
func (f *loadFlags) graph(ctx context.Context, env *environment, reg *pipeline.Registry, file string, data bool) (*graph.Graph, error) {
	var issues pipeline.Issues
	p, err := f.read(env, reg, file)
	if err != nil && (p == nil || !issues.Add(err)) {
		return nil, err
	}
	g, err := graph.Build(ctx, p, reg, &runner.Env{Registry: reg, Open: store.Open, Load: data, Warned: func(i *pipeline.Issue) {
		fmt.Fprintf(env.stderr, "warning: %v\n", i)
	}})
	if err != nil && !issues.Add(err) {
		return nil, err
	}
	return g, issues.Err()
}

func sortStrings(s []string) { sort.Strings(s) }
