package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// The scripts under testdata/script call drivemill as a person would. $DATA is
// the sample data.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("DATA", repoRoot(t)+"/testdata")
			e.Setenv("REPO", repoRoot(t))
			return nil
		},
	})
}
