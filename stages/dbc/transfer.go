package dbc

import (
	"context"
	"fmt"
	"math"

	candb "github.com/drivemill/drivemill/formats/dbc"
	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// transferKey tells transfers of different recordings and buses apart.
type transferKey struct {
	bus       *busState
	channel   int64
	object    int
	recording string
}

// transfers are those under way on one bus of one recording.
type transfers struct {
	candb.Reassembler
	table *pipeline.Table
}

// join takes a frame that may be part of a transfer, and reports whether it
// was: then it is dealt with.
func (p *processor) join(src *source, bus *busState, set *idSet, t *slot, id frameID, i int, b *pipeline.Batch, clock []int64,
	acct *pipeline.Account, emit pipeline.Emit) (bool, error) {
	isTP := false
	if id&extendedBit != 0 && t == nothing {
		pgn := candb.GroupOf(uint32(id) & 0x1fffffff).PGN
		isTP = (pgn == candb.PGNTransportControl || pgn == candb.PGNTransportData) && p.grouped(bus.lane, set)
	}
	isFast := t != nothing && t.plan.Message.Protocol == candb.NMEA2000 && t.Length > 8
	isISO := t != nothing && t.ISOTP
	if isISO && p.frames.size[i] > 8 && t.Length <= 64 && t.Attributes["CanTpFcFrameId"] == "" {
		isISO = false // CAN FD, of which the database says nothing
	}
	if !isTP && !isFast && !isISO {
		return false, nil
	}
	f := &p.frames
	frame := candb.Frame{ID: uint32(id) & 0x1fffffff, Data: f.data[f.start[i] : f.start[i]+f.size[i]], Record: b.Origin.At(i), Time: math.MinInt64}
	if clock != nil {
		frame.Time = clock[i]
	}
	x := p.transfersOf(src, bus, i, b)
	var progress candb.Progress
	switch {
	case isTP && frame.Announces() && p.find(set, bus, frameID(frame.Announced())|extendedBit) == nothing:
		x.Replace(frame) // the transfer is of no interest: its frames are kept as they are
	case isTP:
		progress = x.Transport(frame)
	case isFast:
		progress = x.FastPacket(frame)
	default:
		progress = x.ISOTP(frame, id&extendedBit != 0)
	}
	if err := p.broken(x, acct); err != nil {
		return true, err
	}
	switch progress {
	case candb.Alone:
		if isTP {
			return false, nil
		}
		// A message of several frames cannot be read from one.
		bus.raw = append(bus.raw, int32(i))
		return true, nil
	case candb.Taken:
		return true, nil
	}
	return true, p.completed(x.Done(), bus, set, t, isTP, frame, i, b, acct, emit)
}

// completed puts the payload of a transfer where its message gathers.
func (p *processor) completed(done candb.Transfer, bus *busState, set *idSet, t *slot, isTP bool, frame candb.Frame, i int, b *pipeline.Batch,
	acct *pipeline.Account, emit pipeline.Emit) error {
	acct.Absorbed += int64(done.Frames - 1)
	virtual, dest := frame.ID, int16(-1)
	if isTP {
		virtual = frame.ID&(7<<26) | done.PGN<<8 | frame.ID&0xff
		if g := candb.GroupOf(virtual); g.Directed {
			virtual |= uint32(done.Destination) << 8
		}
		if t = p.find(set, bus, frameID(virtual)|extendedBit); t == nothing {
			// Nothing is known of the group that was sent: the frame that completes
			// it is all that is kept.
			bus.raw = append(bus.raw, int32(i))
			return nil
		}
		dest = int16(done.Destination)
	} else if g := candb.GroupOf(virtual); g.Directed && t.plan.Message.Protocol != candb.PlainCAN {
		dest = int16(g.Destination)
	}
	g, err := p.gather(t, b, acct, emit)
	if err != nil {
		return err
	}
	began := done.Began
	if done.Frames == 1 {
		began = math.MinInt64
	}
	payload := done.Payload
	if t.counted && !isTP {
		p.counted = append(append(p.counted[:0], byte(len(payload))), payload...)
		payload = p.counted
	}
	g.addOwn(i, sender{virtual, dest, began}, payload)
	return nil
}

// grouped reports whether a database of the set has parameter groups.
func (p *processor) grouped(l *lane, set *idSet) bool {
	for _, k := range l.entries {
		if set.mask&(1<<k) != 0 && p.entries[k].transport {
			return true
		}
	}
	return false
}

func (p *processor) transfersOf(src *source, bus *busState, i int, b *pipeline.Batch) *transfers {
	key := transferKey{bus: bus, channel: -1}
	if len(p.frames.channel) > 0 {
		key.channel = p.frames.channel[i]
	}
	if src.record >= 0 {
		key.recording = text(b.Record.Column(src.record), i)
	} else {
		key.object = b.Origin.Object
	}
	x := p.transfer[key]
	if x == nil {
		x = &transfers{table: src.in}
		p.transfer[key] = x
		p.underway = append(p.underway, x)
	}
	return x
}

// text is a cell of a string or label column; empty for null.
func text(arr arrow.Array, i int) string {
	if arr.IsNull(i) {
		return ""
	}
	switch a := arr.(type) {
	case *arrow.String:
		return a.Value(i)
	case *arrow.Dictionary:
		return a.Dictionary().(*arrow.String).Value(a.GetValueIndex(i))
	}
	return ""
}

// broken accounts for transfers that failed.
func (p *processor) broken(x *transfers, acct *pipeline.Account) error {
	for _, k := range x.Broken() {
		acct.Note(noteBroken, 1)
		if p.Broken == "drop" {
			acct.Filtered += int64(len(k.Records))
			continue
		}
		err := fmt.Errorf("the frame is part of a transfer that never became complete: %s", k.Why)
		for _, r := range k.Records {
			acct.Reject(Incomplete, 1)
			if p.opt.Reject == nil {
				return fmt.Errorf("table %s: record %d: %w", x.table.Name, r, err)
			}
			if err := p.opt.Reject(pipeline.BadRow{Table: x.table.Name, Record: r, Offset: -1, Reason: Incomplete, Err: err}); err != nil {
				return err
			}
		}
	}
	return nil
}

// Flush breaks off what is under way.
func (p *processor) Flush(_ context.Context, acct *pipeline.Account, _ pipeline.Emit) error {
	for _, x := range p.underway {
		x.End()
		if err := p.broken(x, acct); err != nil {
			return err
		}
	}
	return nil
}
