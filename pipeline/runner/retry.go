package runner

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/drivemill/drivemill/pipeline"
)

// Retry says how often transient failures of a unit are tried again.
type Retry struct {
	Attempts int           // in all; 0 means 4
	Base     time.Duration // before the second attempt; 0 means one second
	Max      time.Duration // 0 means 30 seconds
}

// do calls f until it succeeds, fails for good, or the attempts are used up.
// The pause doubles each time and is drawn at random from its upper half, so
// that many processes that failed together do not come back together.
func (r Retry) do(ctx context.Context, again func(attempt int, pause time.Duration, err error), f func() error) error {
	attempts, base, limit := r.Attempts, r.Base, r.Max
	if attempts == 0 {
		attempts = 4
	}
	if base == 0 {
		base = time.Second
	}
	if limit == 0 {
		limit = 30 * time.Second
	}
	for attempt := 1; ; attempt++ {
		err := f()
		if err == nil || attempt >= attempts || !pipeline.IsTransient(err) || ctx.Err() != nil {
			return err
		}
		pause := min(base<<(attempt-1), limit)
		pause = pause/2 + rand.N(pause/2+1)
		again(attempt, pause, err)
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return errors.Join(err, context.Cause(ctx))
		}
	}
}
