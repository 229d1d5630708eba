package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/drivemill/drivemill/pipeline/runner"
)

// A bar ends when the run does, however much was read.
func TestBarEnds(t *testing.T) {
	for _, read := range []int64{0, 5, 10, 15} {
		p := &barProgress{w: &bytes.Buffer{}}
		p.Start(1, 10)
		p.Read(read)
		p.Rows(3)
		p.Unit(&runner.UnitResult{Unit: &runner.Unit{Name: "u"}, Outcome: runner.Done})
		ended := make(chan struct{})
		go func() {
			p.stop()
			close(ended)
		}()
		select {
		case <-ended:
		case <-time.After(time.Minute):
			t.Fatalf("the bar does not end after %d of 10 bytes", read)
		}
	}
}
