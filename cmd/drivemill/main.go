// Command drivemill turns drive logs into a Parquet lake with lineage.
//
// This package holds flags, exit codes and the terminal; one file per
// subcommand, and no logic.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	_ "time/tzdata" // time zones on machines that have none

	"github.com/spf13/pflag"

	"github.com/drivemill/drivemill/pipeline"
)

// Exit codes, as DESIGN of the command line promises them.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitLoss        = 3
	exitTransient   = 75 // EX_TEMPFAIL of sysexits.h: run again
	exitInterrupted = 130
	exitTerminated  = 143
)

// errLoss ends a command that did its work but had to leave rows out.
var errLoss = errors.New("rows were rejected or lost")

// usageError is a mistake in how the command was called.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// command is one subcommand. setup defines its flags and returns what runs
// it, with the arguments that are left.
type command struct {
	name, args, summary, help, examples string
	setup                               func(fs *pflag.FlagSet) func(ctx context.Context, env *environment, args []string) error
}

// environment is what a command may touch of the world.
type environment struct {
	stdout, stderr io.Writer
	getenv         func(string) (string, bool)
	interrupt      *interrupter
}

func commands() []command {
	return []command{
		initCommand(), runCommand(), planCommand(), explainCommand(), statusCommand(), finishCommand(), validateCommand(), inspectCommand(), catCommand(), diffCommand(), payloadCommand(), extractCommand(), graphCommand(),
		lineageCommand(), gcCommand(), forgetCommand(), catalogCommand(), formatsCommand(), stagesCommand(), versionCommand(),
	}
}

func main() {
	os.Exit(mainCode())
}

// limitMemory keeps the process inside 256 MiB and 128 MiB for each core: the
// garbage collector works harder before it would grow beyond. GOMEMLIMIT
// overrides it. A fifth is left for what the collector does not see.
func limitMemory() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(int64(256+128*runtime.NumCPU()) << 20 / 5 * 4)
	}
}

func mainCode() int {
	limitMemory()
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	interrupt := &interrupter{cancel: cancel}
	go interrupt.watch(signals)
	env := &environment{stdout: os.Stdout, stderr: os.Stderr, getenv: os.LookupEnv, interrupt: interrupt}
	return env.exitCode(ctx, env.dispatch(ctx, os.Args[1:]))
}

// dispatch finds the command and runs it.
func (env *environment) dispatch(ctx context.Context, args []string) error {
	if len(args) == 0 {
		env.overview(env.stderr)
		return usageError{}
	}
	name := args[0]
	switch name {
	case "help", "--help", "-h":
		if len(args) > 1 && name == "help" {
			return env.dispatch(ctx, []string{args[1], "--help"})
		}
		env.overview(env.stdout)
		return nil
	case "--version":
		name = "version"
	}
	var names []string
	for _, c := range commands() {
		if c.name == name {
			return env.execute(ctx, c, args[1:])
		}
		names = append(names, c.name)
	}
	hint := ""
	if n := pipeline.Nearest(name, names); n != "" {
		hint = fmt.Sprintf(" (did you mean %s?)", n)
	}
	return usagef("unknown command %q%s; drivemill --help lists them", name, hint)
}

func (env *environment) execute(ctx context.Context, c command, args []string) error {
	fs := pflag.NewFlagSet(c.name, pflag.ContinueOnError)
	fs.SortFlags = false
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	run := c.setup(fs)
	// Arguments show in lists of processes and go into messages, manifests and
	// lineage: whatever they are for, they are no place for credentials.
	for i, a := range args {
		if pipeline.HoldsSecret(a) {
			return usagef("%s: argument %d holds credentials; leave them to the environment or to the AWS configuration", c.name, i+1)
		}
	}
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, pflag.ErrHelp) {
			env.describe(c, fs)
			return nil
		}
		var known []string
		fs.VisitAll(func(f *pflag.Flag) { known = append(known, "--"+f.Name) })
		hint := ""
		if i := strings.Index(err.Error(), "--"); i >= 0 {
			word := strings.FieldsFunc(err.Error()[i:], func(r rune) bool { return strings.ContainsRune(" =\"", r) })[0]
			if n := pipeline.Nearest(word, known); n != "" && n != word {
				hint = fmt.Sprintf(" (did you mean %s?)", n)
			}
		}
		return usagef("%s: %v%s; see drivemill %s --help", c.name, err, hint, c.name)
	}
	return run(ctx, env, fs.Args())
}

func (env *environment) overview(w io.Writer) {
	fmt.Fprintf(w, "drivemill turns drive logs into a Parquet lake with lineage.\n\nUsage:\n  drivemill COMMAND [flags] [arguments]\n\nCommands:\n")
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-10s %s\n", c.name, c.summary)
	}
	fmt.Fprintf(w, `
Exit status:
  0 done                  3 done, but rows were rejected or lost
  1 failed for good      75 stopped by trouble that may pass: run again
  2 wrong usage, or a mistake in a pipeline
  130 interrupted       143 terminated

drivemill COMMAND --help has flags and examples.
`)
}

func (env *environment) describe(c command, fs *pflag.FlagSet) {
	fmt.Fprintf(env.stdout, "%s\n\nUsage:\n  drivemill %s [flags] %s\n", c.help, c.name, c.args)
	if c.examples != "" {
		fmt.Fprintf(env.stdout, "\nExamples:\n%s", c.examples)
	}
	if fs.HasFlags() {
		fmt.Fprintf(env.stdout, "\nFlags:\n%s", fs.FlagUsages())
	}
}

// exitCode prints an error and maps its kind to an exit code: the only place
// where that is decided.
func (env *environment) exitCode(ctx context.Context, err error) int {
	var usage usageError
	var issues *pipeline.Issues
	var issue *pipeline.Issue
	var sig signalError
	var spot spotError
	stopped := errors.Join(err, context.Cause(ctx))
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &usage):
		if usage.error != nil {
			fmt.Fprintf(env.stderr, "drivemill: %v\n", usage.error)
		}
		return exitUsage
	case errors.As(err, &issues), errors.As(err, &issue):
		fmt.Fprintln(env.stderr, err)
		return exitUsage
	case errors.As(stopped, &spot):
		fmt.Fprintf(env.stderr, "drivemill: %v\n", spot)
		return exitTerminated
	case errors.As(stopped, &sig):
		fmt.Fprintf(env.stderr, "drivemill: %v\n", sig)
		if sig.sig == syscall.SIGTERM {
			return exitTerminated
		}
		return exitInterrupted
	case errors.Is(err, errLoss):
		fmt.Fprintf(env.stderr, "drivemill: %v\n", err)
		return exitLoss
	case pipeline.IsTransient(err):
		fmt.Fprintf(env.stderr, "drivemill: %v\nThe trouble may pass: run the same command again, it goes on where it stopped.\n", err)
		return exitTransient
	}
	fmt.Fprintf(env.stderr, "drivemill: %v\n", err)
	return exitFailed
}
