package main

import (
	"context"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/drivemill/drivemill/pipeline/runner"
)

// signalError is the cause of a context that a signal cancelled.
type signalError struct{ sig os.Signal }

func (e signalError) Error() string { return "stopped by signal: " + e.sig.String() }

// spotError is the cause where the instance is taken away.
type spotError struct{ notice runner.SpotNotice }

func (e spotError) Error() string {
	return "stopped because the Spot instance is taken away: " + e.notice.String()
}

// interrupter stops a command in two steps: first it takes no new units, and
// when its time is up what is at work is abandoned.
type interrupter struct {
	cancel context.CancelCauseFunc
	mu     sync.Mutex
	grace  time.Duration // all that there is from being told to stop to the end
	cause  error
}

// allow sets the grace: commands that call it look at stopping.
func (i *interrupter) allow(grace time.Duration) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.grace = grace
}

// stop begins to stop; within is how long until nothing may be left, 0 for the
// grace.
func (i *interrupter) stop(cause error, within time.Duration) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.cause != nil {
		return
	}
	i.cause = cause
	if within == 0 {
		within = i.grace
	}
	if left := within - runner.StopTime; left > 0 {
		time.AfterFunc(left, func() { i.cancel(cause) })
		return
	}
	i.cancel(cause)
}

// stopping returns why no new unit may begin, or nil.
func (i *interrupter) stopping() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.cause
}

// watch stops at the first signal, and ends the process at the second.
func (i *interrupter) watch(signals <-chan os.Signal) {
	i.stop(signalError{<-signals}, 0)
	if s := <-signals; s == syscall.SIGTERM {
		os.Exit(exitTerminated)
	}
	os.Exit(exitInterrupted)
}

// spotEvery is how often the instance is asked: the notice comes two minutes
// ahead.
const spotEvery = 5 * time.Second

// watchSpot stops when the instance will be taken away: no new units at once,
// and the rest in time before the end.
func (i *interrupter) watchSpot(ctx context.Context, env *environment, told func(error)) {
	endpoint, ok := env.getenv("AWS_EC2_METADATA_SERVICE_ENDPOINT")
	if !ok || endpoint == "" {
		endpoint = runner.MetadataEndpoint
	}
	notice, err := runner.WatchSpot(ctx, endpoint, spotEvery, told)
	if err != nil {
		return // the run is over
	}
	i.stop(spotError{notice}, max(time.Until(notice.Time), time.Nanosecond))
}
