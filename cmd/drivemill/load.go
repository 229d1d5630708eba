package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"

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

// openObject opens the store of an object that a flag or an argument names.
func openObject(ctx context.Context, uri string) (pipeline.Store, string, error) {
	root, key, err := store.Split(uri)
	if err != nil {
		return nil, "", err
	}
	st, err := store.Open(ctx, root)
	return st, key, err
}

// read loads a pipeline: a file, an object of a store, or - for standard input.
func (f *loadFlags) read(ctx context.Context, env *environment, reg *pipeline.Registry, file string) (*config.Pipeline, error) {
	var data []byte
	var err error
	name := file
	switch {
	case file == "-":
		name = "<stdin>"
		data, err = io.ReadAll(os.Stdin)
	case strings.Contains(file, "://"):
		var st pipeline.Store
		var key string
		if st, key, err = openObject(ctx, file); err == nil {
			data, err = st.Get(ctx, key)
		}
		if pipeline.IsTransient(err) {
			return nil, fmt.Errorf("reading the pipeline: %w", err)
		}
	default:
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
	p, err := f.read(ctx, env, reg, file)
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
