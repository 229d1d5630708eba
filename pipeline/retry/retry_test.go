package retry

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestPause(t *testing.T) {
	p := &Policy{}
	last := time.Duration(0)
	for n := 1; n < 8; n++ {
		d, ok := p.Pause(Server, n, 0)
		most := 100 * time.Millisecond << (n - 1)
		if !ok || d > most || d < most/2 {
			t.Errorf("attempt %d: %v, %v; want from %v to %v", n, d, ok, most/2, most)
		}
		last = d
	}
	if last == 0 {
		t.Error("no pause")
	}
	if _, ok := p.Pause(Server, 8, 0); ok {
		t.Error("the ninth attempt is granted")
	}
	if _, ok := p.Pause(Conflict, 2, 2); ok {
		t.Error("a limit of two attempts grants three")
	}
	if got := p.Counts(); got[Server] != 7 || len(got) != 1 {
		t.Errorf("counts %v", got)
	}
	for _, c := range Classes() {
		if attempts[c] < 2 {
			t.Errorf("%s is not tried again", c)
		}
	}
}

// A bucket that is empty hands tokens out at its rate, in order.
func TestBudget(t *testing.T) {
	p := &Policy{PerSecond: 10, Burst: 2}
	now := time.Now()
	for i, want := range []time.Duration{0, 0, 100 * time.Millisecond, 200 * time.Millisecond} {
		if d := p.token(now); (d - want).Abs() > time.Microsecond {
			t.Errorf("token %d after %v, want %v", i, d, want)
		}
	}
	if d := p.token(now.Add(time.Second)); d != 0 {
		t.Errorf("a second later: %v", d)
	}
}

func TestContext(t *testing.T) {
	p := &Policy{}
	if From(With(t.Context(), p)) != p || From(t.Context()) == nil {
		t.Error("the policy does not travel")
	}
	if a, again := p.Limiter("a"), p.Limiter("a"); a != again || a == p.Limiter("b") {
		t.Error("limiters are by name")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if p.Sleep(ctx, Unit, 1) {
		t.Error("slept through the end of the context")
	}
}

func TestLimiter(t *testing.T) {
	l := NewLimiter(8)
	clock := time.Now()
	l.now = func() time.Time { return clock }
	var running, peak atomic.Int64
	round := func() {
		peak.Store(0)
		var wg sync.WaitGroup
		for range 64 {
			wg.Go(func() {
				if err := l.Acquire(t.Context()); err != nil {
					t.Error(err)
					return
				}
				n := running.Add(1)
				for old := peak.Load(); n > old && !peak.CompareAndSwap(old, n); old = peak.Load() {
				}
				time.Sleep(100 * time.Microsecond)
				running.Add(-1)
				l.Release()
			})
		}
		wg.Wait()
	}
	round()
	if peak.Load() > 8 {
		t.Errorf("%d at once", peak.Load())
	}
	for range 8 {
		if err := l.Acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	l.Slow()
	l.Slow() // of the same bunch
	if l.Limit() != 4 {
		t.Errorf("limit %d, want 4", l.Limit())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if l.Acquire(ctx) == nil {
		t.Error("acquired beyond the limit")
	}
	for range 8 {
		l.Release()
	}
	for range 5 {
		clock = clock.Add(time.Second)
		l.Slow()
	}
	round()
	if l.Limit() != 1 || peak.Load() != 1 {
		t.Errorf("limit %d, %d at once; want 1", l.Limit(), peak.Load())
	}
	for range 100 {
		l.Fine()
	}
	round()
	if l.Limit() != 8 || peak.Load() > 8 {
		t.Errorf("limit %d after a hundred good requests", l.Limit())
	}
}
