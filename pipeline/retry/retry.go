// Package retry decides what is tried again, how often and when: one policy
// for a whole run, which requests of stores and units of the runner ask.
//
// A failure has a [Class], which says how many attempts it is worth. The wait
// before an attempt doubles each time up to a limit and is cut by a random
// share of up to a half, so that many processes which failed together do not
// come back together. Over that, all retries of a run share a bucket of tokens
// that fills at a fixed rate: when a store is down, a thousand requests in
// flight wait for their token instead of asking a thousand times as often.
//
// A [Limiter] bounds how many requests a store is sent at once. It halves when
// the store says that it is asked too much, and grows slowly again.
//
// A policy travels in the context, because stores are opened by URI alone.
package retry

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// Class is why something is tried again.
type Class string

// The classes, as they stand in summaries and metrics.
const (
	SlowDown Class = "slow_down"   // the store is asked too much
	Server   Class = "server"      // the store failed
	Timeout  Class = "timeout"     // no answer in time
	Network  Class = "network"     // no connection, or it broke off before the answer
	Body     Class = "broken_body" // it broke off in the answer, or stood still
	Conflict Class = "conflict"    // two conditional writes met
	Unit     Class = "unit"        // a whole unit, after its requests have given up
)

// attempts is how often something is done in all when each attempt fails by
// that class. The waits of a request add up to about ten seconds; one that
// times out has waited a minute each time.
var attempts = map[Class]int{
	SlowDown: 12, Server: 8, Timeout: 4, Network: 8, Body: 7, Conflict: 8, Unit: 4,
}

// Classes returns all classes, sorted.
func Classes() []Class { return slices.Sorted(maps.Keys(attempts)) }

// wait bounds the pauses of a class.
type wait struct{ base, limit time.Duration }

var (
	requestWait = wait{100 * time.Millisecond, 20 * time.Second}
	unitWait    = wait{time.Second, 30 * time.Second}
)

// Defaults of a policy.
const (
	defaultPerSecond = 50
	defaultBurst     = 500
)

// Policy is how one run tries again. It is safe for concurrent use; its fields
// are set before the first use.
type Policy struct {
	// PerSecond is how many retries the run may make in a second, over all
	// stores and units; Burst is how many it may have saved up. 0 means 50 and 500.
	PerSecond float64
	Burst     int
	// Scale multiplies all pauses; 0 means 1. Tests wait less.
	Scale float64

	mu       sync.Mutex
	tokens   float64
	filled   time.Time
	counts   map[Class]int64
	limiters map[string]*Limiter
}

type policyKey struct{}

// With returns a context whose stores and units ask p.
func With(ctx context.Context, p *Policy) context.Context {
	return context.WithValue(ctx, policyKey{}, p)
}

// From returns the policy of a context, or a new one with the defaults.
func From(ctx context.Context) *Policy {
	if p, ok := ctx.Value(policyKey{}).(*Policy); ok {
		return p
	}
	return &Policy{}
}

// Pause decides about the attempt after the n-th that failed, from 1: how long
// to wait before it, and whether to make it. What it grants is counted. limit
// replaces the attempts of the class where it is above 0.
func (p *Policy) Pause(c Class, n, limit int) (time.Duration, bool) {
	if limit <= 0 {
		limit = attempts[c]
	}
	if n >= limit {
		return 0, false
	}
	d := p.backoff(c, n)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.counts == nil {
		p.counts = make(map[Class]int64)
	}
	p.counts[c]++
	return max(d, p.token(time.Now())), true
}

// Sleep is Pause, and the pause. It returns false at the limit and when the
// context ends.
func (p *Policy) Sleep(ctx context.Context, c Class, n int) bool {
	d, ok := p.Pause(c, n, 0)
	return ok && Wait(ctx, d)
}

// Wait waits, and returns false when the context ended before.
func Wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// backoff is the wait after the n-th failed attempt, from 1.
func (p *Policy) backoff(c Class, n int) time.Duration {
	w := requestWait
	if c == Unit {
		w = unitWait
	}
	d := w.limit
	if n = max(n, 1); n < 16 {
		d = min(w.base<<(n-1), w.limit)
	}
	if p.Scale > 0 {
		d = time.Duration(float64(d) * p.Scale)
	}
	return d - rand.N(max(d/2, 1))
}

// token takes one from the bucket and returns how long it is until that one
// is there. The caller holds mu.
func (p *Policy) token(now time.Time) time.Duration {
	rate, burst := p.PerSecond, float64(p.Burst)
	if rate <= 0 {
		rate = defaultPerSecond
	}
	if burst <= 0 {
		burst = defaultBurst
	}
	if p.filled.IsZero() {
		p.tokens = burst
	} else {
		p.tokens = min(burst, p.tokens+now.Sub(p.filled).Seconds()*rate)
	}
	p.filled = now
	p.tokens--
	if p.tokens >= 0 {
		return 0
	}
	return time.Duration(-p.tokens / rate * float64(time.Second))
}

// Counts returns how many retries were made, by class. Classes without any are
// left out.
func (p *Policy) Counts() map[Class]int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.counts)
}

// Limiter returns the limiter of a store; stores of one name share it.
func (p *Policy) Limiter(name string) *Limiter {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.limiters[name]
	if l == nil {
		if p.limiters == nil {
			p.limiters = make(map[string]*Limiter)
		}
		l = NewLimiter(maxConcurrent)
		p.limiters[name] = l
	}
	return l
}
