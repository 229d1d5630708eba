package retry

import (
	"context"
	"sync"
	"time"
)

// maxConcurrent is how many requests a store is sent at once at most.
const maxConcurrent = 256

// calm is how long a limiter takes no notice of further complaints: those of
// requests that were sent before the limit fell.
const calm = 500 * time.Millisecond

// Limiter bounds how many requests are under way at once. Its limit is halved
// by [Limiter.Slow], down to one, and grows by one for each full round of
// requests that went well, up to where it began.
type Limiter struct {
	mu      sync.Mutex
	limit   float64
	most    float64
	running int
	waiting []chan struct{} // first come, first served
	slowed  time.Time
	now     func() time.Time
}

// NewLimiter returns a limiter that begins at its highest limit.
func NewLimiter(most int) *Limiter {
	return &Limiter{limit: float64(most), most: float64(most), now: time.Now}
}

// Acquire waits for the right to send a request. The error is the context's.
func (l *Limiter) Acquire(ctx context.Context) error {
	l.mu.Lock()
	if len(l.waiting) == 0 && l.running < int(l.limit) {
		l.running++
		l.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	l.waiting = append(l.waiting, turn)
	l.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, w := range l.waiting {
		if w == turn {
			l.waiting = append(l.waiting[:i], l.waiting[i+1:]...)
			return ctx.Err()
		}
	}
	l.running-- // the turn came at the same moment
	l.admit()
	return ctx.Err()
}

// Release gives the right back.
func (l *Limiter) Release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running--
	l.admit()
}

// admit lets those in who wait. The caller holds mu.
func (l *Limiter) admit() {
	for len(l.waiting) > 0 && l.running < int(l.limit) {
		l.running++
		close(l.waiting[0])
		l.waiting = l.waiting[1:]
	}
}

// Slow halves the limit: of what is under way, where that is less. Complaints
// that come in a bunch count once.
func (l *Limiter) Slow() {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if !l.slowed.IsZero() && now.Sub(l.slowed) < calm {
		return
	}
	l.slowed = now
	l.limit = max(1, min(l.limit, float64(max(l.running, 2)))/2)
}

// Fine tells of a request that went well.
func (l *Limiter) Fine() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.limit < l.most {
		l.limit = min(l.most, l.limit+1/l.limit)
		l.admit()
	}
}

// Limit returns how many requests may be under way now.
func (l *Limiter) Limit() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return int(l.limit)
}
