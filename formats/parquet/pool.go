package parquet

import (
	"context"
	"sync"
	"sync/atomic"
)

// pool bounds the goroutines that encode. A nil pool runs everything on the
// goroutine of its caller.
type pool struct{ tokens chan struct{} }

func newPool(workers int) *pool {
	return &pool{tokens: make(chan struct{}, max(workers, 1))}
}

// acquire waits for a free worker.
func (p *pool) acquire(ctx context.Context) error {
	select {
	case p.tokens <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *pool) release() { <-p.tokens }

// each calls f for 0 to n-1, on this goroutine and on those workers that are
// free, and returns the error of the lowest index that failed. All calls have
// ended when it returns.
func (p *pool) each(n int, f func(i int) error) error {
	var next, failed atomic.Int64
	errs := make([]error, n)
	work := func() {
		for failed.Load() == 0 {
			i := int(next.Add(1)) - 1
			if i >= n {
				return
			}
			if errs[i] = f(i); errs[i] != nil {
				failed.Store(1)
			}
		}
	}
	var wg sync.WaitGroup
	for k := 1; k < n && p.take(); k++ {
		wg.Go(func() {
			defer p.release()
			work()
		})
	}
	work()
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// take takes a worker if one is free.
func (p *pool) take() bool {
	if p == nil {
		return false
	}
	select {
	case p.tokens <- struct{}{}:
		return true
	default:
		return false
	}
}
