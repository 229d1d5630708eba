package message

import (
	"maps"
	"math"
	"slices"

	"github.com/drivemill/drivemill/pipeline"
)

// Latched finds the last message before the selected range of time of each
// channel whose table is selected as latched. A walker asks it which blocks
// may hold one, unpacks these, shows it their records, and hands what is found
// to the engine in Block.Keep. A nil Latched wants nothing.
type Latched struct {
	from   int64
	wanted []bool // by channel
	last   map[int32]lastMessage
}

type lastMessage struct {
	time  int64
	block int
	row   uint32
}

// NewLatched returns nil where sel asks for no message before its range.
func NewLatched(tables []*Table, channels []int32, sel pipeline.Selection) *Latched {
	if sel.From <= 0 {
		return nil
	}
	names := make(map[string]bool)
	for _, t := range sel.Tables {
		if t.Latched {
			names[t.Table.Name] = true
		}
	}
	l := &Latched{from: sel.From, wanted: make([]bool, len(channels)), last: make(map[int32]lastMessage)}
	some := false
	for i, t := range channels {
		l.wanted[i] = names[tables[t].Name]
		some = some || l.wanted[i]
	}
	if !some {
		return nil
	}
	return l
}

// BlockTimes is what an index tells of a block. Unless Known, it may hold
// anything.
type BlockTimes struct {
	Start, End int64 // log time of the first and the last message
	Channels   []int32
	Known      bool
}

// Candidates returns the blocks of n, ascending, that have to be unpacked to
// be sure. Of a channel these are the blocks that reach behind the start of
// the latest one that lies before the range as a whole.
func (l *Latched) Candidates(n int, block func(i int) BlockTimes) []int {
	if l == nil {
		return nil
	}
	least := make([]int64, len(l.wanted))
	for i := range least {
		least[i] = math.MinInt64
	}
	for i := range n {
		b := block(i)
		for _, c := range b.Channels {
			if b.Known && b.End < l.from && l.Wants(c) {
				least[c] = max(least[c], b.Start)
			}
		}
	}
	var out []int
	for i := range n {
		b := block(i)
		if !b.Known || b.Start < l.from && slices.ContainsFunc(b.Channels, func(c int32) bool { return l.Wants(c) && b.End >= least[c] }) {
			out = append(out, i)
		}
	}
	return out
}

// Wants reports whether the last message of a channel is looked for.
func (l *Latched) Wants(channel int32) bool {
	return uint32(channel) < uint32(len(l.wanted)) && l.wanted[channel]
}

// Show takes up the records of a block. Blocks are shown in storage order: of
// messages logged at the same time the one stored last stays.
func (l *Latched) Show(block int, records []Record) {
	for i := range records {
		r := &records[i]
		if r.LogTime >= l.from || r.LogTime < 0 || !l.Wants(r.Channel) {
			continue
		}
		if old, ok := l.last[r.Channel]; !ok || r.LogTime >= old.time {
			l.last[r.Channel] = lastMessage{r.LogTime, block, uint32(i)}
		}
	}
}

// Settle leaves of what was found in the files of one recording, each by a
// Latched of its own, the messages of the file that has the last one of a table;
// of those logged at the same time the later file counts. Channels are those of
// the recording, tableOf gives the table of each.
func Settle(files []*Latched, tableOf []int32) {
	type place struct {
		time int64
		file int
	}
	last := make(map[int32]place)
	for i, l := range files {
		if l == nil {
			continue
		}
		for c, m := range l.last {
			if p, ok := last[tableOf[c]]; !ok || m.time >= p.time {
				last[tableOf[c]] = place{m.time, i}
			}
		}
	}
	for i, l := range files {
		if l != nil {
			maps.DeleteFunc(l.last, func(c int32, _ lastMessage) bool { return last[tableOf[c]].file != i })
		}
	}
}

// Keep appends to keep the places of the messages found in a block.
func (l *Latched) Keep(block int, keep []uint32) []uint32 {
	if l == nil {
		return keep
	}
	for _, m := range l.last {
		if m.block == block {
			keep = append(keep, m.row)
		}
	}
	slices.Sort(keep)
	return keep
}

// Has reports whether a block holds one of the messages found.
func (l *Latched) Has(block int) bool {
	if l == nil {
		return false
	}
	for _, m := range l.last {
		if m.block == block {
			return true
		}
	}
	return false
}
