package dbc

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	candb "github.com/drivemill/drivemill/formats/dbc"
	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/config"
)

// maxDatabases is how many databases one stage has at most: which of them a
// frame may be decoded with is one bit each.
const maxDatabases = 64

// stage is immutable.
type stage struct {
	Config
	entries  []*entry
	buses    []bus
	messages []config.Glob // those wanted; none: all
	signals  []config.Glob // those wanted; none: all
	joins    bool          // some message may come in several frames
	warn     func(*pipeline.Issue)
}

// entry is a database with the frames it is for.
type entry struct {
	Database
	uri       string
	bus       string // empty: all
	from, to  int64  // nanoseconds, half-open
	timed     bool
	messages  []message
	exact     map[frameID]int32 // to messages
	groups    map[uint32]int32  // by parameter group, to messages
	transport bool              // J1939 transfers may carry one of the messages
}

// message is a message with its plan, in the words of a table.
type message struct {
	*candb.Message
	plan *candb.Plan
	name string // of the table, without the bus
	// counted: signals count from the last byte of the length of a transfer.
	counted bool
}

// frameID is an identifier; bit 31 tells those of 29 bits.
type frameID uint32

const extendedBit frameID = 1 << 31

// bus is a declared bus.
type bus struct {
	name    string
	channel int64 // -1: told by the table
	match   config.Glob
	at      pipeline.Text
}

func newStage(ctx context.Context, c *Config, env pipeline.Env) (*stage, error) {
	s := &stage{Config: *c, warn: env.Warn}
	var issues pipeline.Issues
	s.declareBuses(&issues)
	s.messages, s.signals = globs(c.Messages, &issues), globs(c.Signals, &issues)
	if len(c.Databases) > maxDatabases {
		issues.Add(c.Databases[maxDatabases].File.Issuef(0, "%d databases, and a stage has at most %d", len(c.Databases), maxDatabases))
	}
	unread := false
	for _, d := range c.Databases {
		e, err := s.newEntry(ctx, d, env)
		switch {
		case err == nil:
			s.entries = append(s.entries, e)
		case errors.Is(err, pipeline.ErrNotLoaded):
			unread = true
		case !issues.Add(err):
			return nil, err
		}
	}
	if err := issues.Err(); err != nil {
		return nil, err
	}
	if unread {
		return nil, pipeline.ErrNotLoaded
	}
	s.checkNames(&issues)
	if err := issues.Err(); err != nil {
		return nil, err
	}
	for _, e := range s.entries {
		for _, m := range e.messages {
			s.joins = s.joins || m.long() && wanted(s.messages, m.Message.Name)
		}
	}
	return s, nil
}

// globs compiles patterns.
func globs(patterns []pipeline.Text, issues *pipeline.Issues) []config.Glob {
	var out []config.Glob
	for _, p := range patterns {
		g, err := config.CompileGlob(p.Value)
		if err != nil {
			issues.Add(p.Issuef(0, "%q: %v", p.Value, err))
		}
		out = append(out, g)
	}
	return out
}

// wanted reports whether a name matches one of some patterns, or there is none.
func wanted(patterns []config.Glob, name string) bool {
	return len(patterns) == 0 || slices.ContainsFunc(patterns, func(g config.Glob) bool { return g.Match(name) })
}

// checkNames reports patterns of messages and signals that no database has.
func (s *stage) checkNames(issues *pipeline.Issues) {
	var messages, signals []string
	for _, e := range s.entries {
		for _, m := range e.messages {
			messages = append(messages, m.Message.Name)
			for _, g := range m.Signals {
				signals = append(signals, g.Name)
			}
		}
	}
	for _, list := range []struct {
		texts    []pipeline.Text
		patterns []config.Glob
		names    []string
		what     string
	}{{s.Messages, s.messages, messages, "message"}, {s.Signals, s.signals, signals, "signal"}} {
		for i, t := range list.texts {
			if !slices.ContainsFunc(list.names, list.patterns[i].Match) {
				is := t.Issuef(0, "no database has a %s %q", list.what, t.Value)
				is.Suggestion = pipeline.Nearest(t.Value, list.names)
				issues.Add(is)
			}
		}
	}
}

// long reports whether the message may come in several frames.
func (m *message) long() bool {
	return m.ISOTP || m.Length > 8 && m.plan.Message.Protocol != candb.PlainCAN
}

// declareBuses reads buses, and the channel numbers under bus.
func (s *stage) declareBuses(issues *pipeline.Issues) {
	for _, e := range s.Buses.Entries {
		b := bus{name: e.Key.Value, channel: -1, at: e.Value}
		if n, err := strconv.ParseUint(e.Value.Value, 10, 32); err == nil {
			b.channel = int64(n)
		} else if b.match, err = config.CompileGlob(e.Value.Value); err != nil {
			issues.Add(e.Value.Issuef(0, "%q is neither a channel number nor a pattern: %v", e.Value.Value, err))
		}
		s.buses = append(s.buses, b)
	}
	for _, d := range s.Databases {
		name := d.Bus.Value
		if name == "" || slices.ContainsFunc(s.buses, func(b bus) bool { return b.name == name }) {
			continue
		}
		n, err := strconv.ParseUint(name, 10, 32)
		switch {
		case err != nil && len(s.buses) > 0:
			i := d.Bus.Issuef(0, "unknown bus %q", name)
			var names []string
			for _, b := range s.buses {
				names = append(names, b.name)
			}
			i.Suggestion = pipeline.Nearest(name, names)
			issues.Add(i)
		case err == nil && slices.ContainsFunc(s.buses, func(b bus) bool { return b.channel == int64(n) }):
			issues.Add(d.Bus.Issuef(0, "channel %d has a name under buses; use that", n))
		case err == nil:
			s.buses = append(s.buses, bus{name: name, channel: int64(n)})
		}
	}
}

func (s *stage) newEntry(ctx context.Context, d Database, env pipeline.Env) (*entry, error) {
	e := &entry{Database: d, bus: d.Bus.Value, from: math.MinInt64, to: math.MaxInt64, exact: make(map[frameID]int32), groups: make(map[uint32]int32)}
	var issues pipeline.Issues
	for _, limit := range []struct {
		at time.Time
		to *int64
	}{{d.From, &e.from}, {d.To, &e.to}} {
		if limit.at.IsZero() {
			continue
		}
		if y := limit.at.Year(); y < 1678 || y > 2261 {
			issues.Add(d.File.Issuef(0, "the year %d is beyond what timestamps hold", y))
			continue
		}
		*limit.to, e.timed = limit.at.UnixNano(), true
	}
	if e.from >= e.to {
		issues.Add(d.File.Issuef(0, "the database is valid for no time: from is not before to"))
	}
	file, err := env.LoadFile(ctx, d.File)
	if err != nil {
		if issues.Add(err) || issues.Err() != nil {
			return nil, issues.Err()
		}
		return nil, fmt.Errorf("loading CAN database %s: %w", d.File.Value, err)
	}
	e.uri = file.URI
	db, err := candb.Parse(path.Base(file.URI), file.Data)
	if err != nil {
		issues.Add(d.File.Issuef(0, "%v", err))
		return nil, issues.Err()
	}
	for _, p := range db.Problems {
		env.Warn(p)
	}
	if len(db.Messages) == 0 {
		issues.Add(d.File.Issuef(0, "%s has no message that could be decoded", file.URI))
	}
	opt := candb.Options{KeepSpecial: s.Special == "keep"}
	if p, ok := map[string]candb.Protocol{"can": candb.PlainCAN, "j1939": candb.J1939, "nmea2000": candb.NMEA2000}[d.Protocol]; ok {
		opt.Protocol = &p
	}
	taken := make(map[string]bool)
	for i, m := range db.Messages {
		plan := candb.NewPlan(m, opt)
		name := strings.ToLower(m.Name)
		if taken[name] {
			name = fmt.Sprintf("%s_%x", name, m.ID)
		}
		taken[name] = true
		id := frameID(m.ID)
		if m.Extended {
			id |= extendedBit
		}
		e.exact[id] = int32(i)
		if plan.Message.Protocol != candb.PlainCAN {
			pgn := candb.GroupOf(m.ID).PGN
			if first, ok := e.groups[pgn]; ok {
				env.Warn(&pipeline.Issue{Pos: m.Pos, Message: fmt.Sprintf("messages %s and %s have the parameter group %#x; the first is used for frames of other sources", db.Messages[first].Name, m.Name, pgn)})
			} else {
				e.groups[pgn] = int32(i)
			}
			e.transport = true
		}
		e.messages = append(e.messages, message{Message: plan.Message, plan: plan, name: name, counted: d.UDSLength && plan.Message.ISOTP})
	}
	return e, issues.Err()
}

// find returns the message for a frame, or -1.
func (e *entry) find(id frameID, byGroup bool) int32 {
	if !byGroup {
		if i, ok := e.exact[id]; ok {
			return i
		}
		return -1
	}
	if id&extendedBit == 0 || len(e.groups) == 0 {
		return -1
	}
	if i, ok := e.groups[candb.GroupOf(uint32(id)&0x1fffffff).PGN]; ok {
		return i
	}
	return -1
}
