// Package pipeline holds the contracts that all parts of drivemill agree on:
// what a batch is and who owns it, how a format, a stage, a sink and a store
// behave, how failures are told apart, and how mistakes in a pipeline file are
// reported. It has no machinery of its own; that lives in the packages below
// it (config, graph, runner, store, lineage).
package pipeline
