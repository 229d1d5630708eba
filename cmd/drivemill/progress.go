package main

import (
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/drivemill/drivemill/pipeline/explore"
	"github.com/drivemill/drivemill/pipeline/runner"
)

// progress is what a run tells while it goes on.
type progress interface {
	runner.Progress
	stop()
}

// newProgress chooses a bar on a terminal and lines in a pipe.
func newProgress(env *environment, kind string) (progress, error) {
	switch kind {
	case "auto":
		if isTerminal(env.stderr) {
			return &barProgress{w: env.stderr}, nil
		}
		return &lineProgress{w: env.stderr}, nil
	case "plain":
		return &lineProgress{w: env.stderr}, nil
	case "json":
		return &lineProgress{w: env.stderr, json: true}, nil
	case "none":
		return noProgress{}, nil
	}
	return nil, usagef("--progress %q: want auto, plain, json or none", kind)
}

type noProgress struct{}

func (noProgress) Start(int, int64)        {}
func (noProgress) Read(int64)              {}
func (noProgress) Rows(int64)              {}
func (noProgress) Unit(*runner.UnitResult) {}
func (noProgress) stop()                   {}

// lineInterval is how often lineProgress speaks while a unit runs.
const lineInterval = 10 * time.Second

// lineProgress prints a line for each unit and one every few seconds.
type lineProgress struct {
	w     io.Writer
	json  bool
	mu    sync.Mutex
	begin time.Time
	units int
	done  int
	total int64
	read  atomic.Int64
	rows  atomic.Int64
	quit  chan struct{}
	wg    sync.WaitGroup
}

func (p *lineProgress) Start(units int, bytes int64) {
	p.units, p.total, p.begin, p.quit = units, bytes, time.Now(), make(chan struct{})
	p.say("start", map[string]any{"units": units, "bytes": bytes}, "units to run: %d, %s", units, explore.Bytes(bytes))
	p.wg.Add(1)
	go func() {
		defer p.wg.Done()
		t := time.NewTicker(lineInterval)
		defer t.Stop()
		for {
			select {
			case <-p.quit:
				return
			case <-t.C:
				read, rows, sec := p.read.Load(), p.rows.Load(), time.Since(p.begin).Seconds()
				p.say("progress", map[string]any{"bytes": read, "rows": rows, "seconds": sec},
					"read %s of %s, %d rows, %.0f rows/s", explore.Bytes(read), explore.Bytes(p.total), rows, float64(rows)/sec)
			}
		}
	}()
}

func (p *lineProgress) say(event string, fields map[string]any, format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.json {
		fields["event"] = event
		if b, err := json.Marshal(fields); err == nil {
			fmt.Fprintf(p.w, "%s\n", b)
		}
		return
	}
	fmt.Fprintf(p.w, format+"\n", args...)
}

func (p *lineProgress) Read(n int64) { p.read.Add(n) }
func (p *lineProgress) Rows(n int64) { p.rows.Add(n) }

func (p *lineProgress) Unit(r *runner.UnitResult) {
	text := ""
	if r.Err != nil {
		text = ": " + r.Err.Error()
	}
	if r.Outcome == runner.Skipped {
		p.say("unit", map[string]any{"unit": r.Unit.Name, "outcome": r.Outcome}, "%s: skipped, its result is in the lake", r.Unit.Name)
		return
	}
	p.mu.Lock()
	p.done++
	done := p.done
	p.mu.Unlock()
	p.say("unit", map[string]any{"unit": r.Unit.Name, "outcome": r.Outcome, "seconds": r.Elapsed.Seconds()},
		"%s: %s in %.1f s (%d of %d)%s", r.Unit.Name, r.Outcome, r.Elapsed.Seconds(), done, p.units, text)
}

func (p *lineProgress) stop() {
	if p.quit != nil {
		close(p.quit)
		p.wg.Wait()
		p.quit = nil
	}
}

// barProgress draws a bar of bytes read, with rows per second and the time
// that is left.
type barProgress struct {
	w     io.Writer
	bars  *mpb.Progress
	bar   *mpb.Bar
	rows  atomic.Int64
	begin time.Time
}

func (p *barProgress) Start(_ int, bytes int64) {
	p.begin = time.Now()
	p.bars = mpb.New(mpb.WithOutput(p.w), mpb.WithWidth(48))
	// A bar that is given its total at the start can only be ended by reaching
	// it, and what is skipped inside a recording is never read.
	p.bar = p.bars.AddBar(0,
		mpb.PrependDecorators(decor.CountersKibiByte("% .1f / % .1f ")),
		mpb.AppendDecorators(
			decor.Any(func(decor.Statistics) string {
				return fmt.Sprintf(" %.0f rows/s", float64(p.rows.Load())/max(time.Since(p.begin).Seconds(), 1e-3))
			}),
			decor.AverageETA(decor.ET_STYLE_GO, decor.WC{W: 8}),
		))
	p.bar.SetTotal(max(bytes, 1), false)
}

func (p *barProgress) Read(n int64) { p.bar.IncrInt64(n) }
func (p *barProgress) Rows(n int64) { p.rows.Add(n) }

func (p *barProgress) Unit(r *runner.UnitResult) {
	if r.Err != nil {
		fmt.Fprintf(p.bars, "%s: %s: %v\n", r.Unit.Name, r.Outcome, r.Err)
	}
}

func (p *barProgress) stop() {
	if p.bars == nil {
		return
	}
	p.bar.SetTotal(-1, true)
	p.bars.Wait()
	p.bars = nil
}
