// Package pipetest holds the suites that every implementation of a contract
// must pass, and what tests need to make things go wrong on purpose.
package pipetest
