//go:build race

package messagetest

// Race reports whether the race detector is on.
const Race = true
