//go:build !soak

package main

// How often the tests of faults and kills are repeated.
const (
	faultSeeds  = 4
	randomKills = 3 // on each kind of store
)
