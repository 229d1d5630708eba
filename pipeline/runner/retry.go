package runner

import (
	"context"
	"errors"
	"time"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/retry"
)

// tryAgain calls f until it succeeds, fails for good, or the policy of the run
// has had enough.
func tryAgain(ctx context.Context, policy *retry.Policy, again func(attempt int, pause time.Duration, err error), f func() error) error {
	for attempt := 1; ; attempt++ {
		err := f()
		if err == nil || !pipeline.IsTransient(err) || ctx.Err() != nil {
			return err
		}
		pause, ok := policy.Pause(retry.Unit, attempt, 0)
		if !ok {
			return err
		}
		again(attempt, pause, err)
		if !retry.Wait(ctx, pause) {
			return errors.Join(err, context.Cause(ctx))
		}
	}
}
