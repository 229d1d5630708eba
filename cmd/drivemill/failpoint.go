//go:build !failpoints

package main

// failpoint is nil in normal builds; see failpoint_on.go.
var failpoint func(string) error
