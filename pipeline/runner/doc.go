// Package runner carries out a pipeline. It finds the recordings, groups them
// into units of work, skips those whose commit record is in force, and runs
// the others through the graph: one goroutine per source, one worker set per
// stage, one goroutine per output, joined by bounded channels. Every edge is
// counted on both sides. When a unit's ledger balances, its files are made
// visible and its commit record is created; a revision that it replaces is
// swept away at the end of the run.
//
// The bytes written depend on the inputs and the pipeline alone: not on
// workers, batch sizes, the clock or the host.
package runner
