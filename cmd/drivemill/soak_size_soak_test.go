//go:build soak

package main

// How often the tests of faults and kills are repeated.
const (
	faultSeeds  = 20
	randomKills = 100 // on each kind of store
)
