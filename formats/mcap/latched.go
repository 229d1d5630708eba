package mcap

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/pipeline"
)

// maxHeld is how many bytes of blocks that were looked into for the last rows
// before a range are held until they are read again.
const maxHeld = 32 << 20

// isLatched reports whether late subscribers of a channel are sent its last
// message, as ROS 1 and ROS 2 note in the metadata of channels.
func isLatched(c Channel) bool {
	if l := c.Metadata["latching"]; l == "true" || l == "1" {
		return true
	}
	// A list of profiles in YAML, one for each publisher.
	for line := range strings.Lines(c.Metadata["offered_qos_profiles"]) {
		key, value, _ := strings.Cut(strings.TrimLeft(strings.TrimSpace(line), "- "), ":")
		if v := strings.Trim(strings.TrimSpace(value), `"'`); key == "durability" && (v == "transient_local" || v == "1") {
			return true
		}
	}
	return false
}

// findCandidates lists the blocks that may hold the last row before the range
// of a latched table. They are read whatever else they hold.
func (w *walker) findCandidates(sel pipeline.Selection) {
	w.latched = message.NewLatched(w.ix.tables, w.ix.tableOf, sel)
	w.candidates = w.latched.Candidates(len(w.blocks), func(i int) message.BlockTimes {
		b := &w.blocks[i]
		t := message.BlockTimes{Start: clampTime(b.start), End: clampTime(b.end), Known: b.counted}
		for _, c := range b.counts {
			if c.count > 0 {
				t.Channels = append(t.Channels, w.ix.channel(c.channel))
			}
		}
		return t
	})
}

func (w *walker) isCandidate(i int) bool {
	_, ok := slices.BinarySearch(w.candidates, i)
	return ok
}

// findLatched looks into the candidates.
func (w *walker) findLatched(ctx context.Context) error {
	if len(w.candidates) == 0 {
		return nil
	}
	var ranges []message.Range
	for _, i := range w.candidates {
		ranges = append(ranges, message.Range{Off: w.blocks[i].offset, Len: w.blocks[i].length})
	}
	reads := message.NewReads(w.src, ranges)
	defer reads.Close()
	w.held = make(map[int][]byte)
	held := int64(0)
	b := &message.Block{Scratch: &scratch{}}
	for k, i := range w.candidates {
		bl := w.blocks[i]
		if bl.length > w.lim.record() {
			continue // told when it is its turn
		}
		*b = message.Block{Stored: b.Stored[:0], Buffer: b.Buffer[:0], Records: b.Records[:0], Scratch: b.Scratch}
		if int64(cap(b.Stored)) < bl.length {
			b.Stored = make([]byte, bl.length)
		}
		b.Stored = b.Stored[:bl.length]
		if err := reads.Read(ctx, k, b.Stored); err != nil {
			return fmt.Errorf("reading %d bytes at %d: %w", bl.length, bl.offset, err)
		}
		*b.Scratch.(*scratch) = scratch{at: i, block: bl, opened: b.Scratch.(*scratch).opened}
		if err := w.Unpack(ctx, b); err != nil {
			return err
		}
		w.latched.Show(i, b.Records)
		if held += bl.length; held <= maxHeld {
			w.held[i] = slices.Clone(b.Stored)
		}
	}
	return reads.Close()
}
