package mcap

import (
	"cmp"
	"context"
	"encoding/binary"
	"hash/crc32"
	"math"
	"slices"

	"github.com/drivemill/drivemill/pipeline"
)

// readSummary reads the summary section. It returns the reason where there is
// none that can be relied on; an error is one of reading. Head is the beginning
// of the file, or all of it.
func readSummary(ctx context.Context, src pipeline.Source, head []byte, lim Limits) (*Info, *reason, error) {
	size := src.Object().Size
	if size < int64(len(Magic)+footerLen) {
		return nil, because("truncated", "file of %d bytes has no footer", size), nil
	}
	tail, at := head, int64(0)
	if int64(len(head)) < size {
		n := min(size, tailSize)
		tail, at = make([]byte, n), size-n
		if err := readFull(ctx, src, tail, at); err != nil {
			return nil, nil, err
		}
	}
	if string(tail[len(tail)-len(Magic):]) != Magic {
		return nil, because("truncated", "bad magic at the end of the file: % x", tail[len(tail)-len(Magic):]), nil
	}
	foot := tail[len(tail)-footerLen : len(tail)-len(Magic)]
	if Op(foot[0]) != OpFooter || binary.LittleEndian.Uint64(foot[1:]) != 20 {
		return nil, because("bad_index", "no footer at offset %d", size-int64(footerLen)), nil
	}
	ft, err := ParseFooter(foot[frameLen:])
	if err != nil {
		return nil, because("bad_index", "%v", err), nil
	}
	end := size - int64(footerLen)
	switch {
	case ft.SummaryStart == 0:
		return nil, because("unindexed", "the file has no summary"), nil
	case ft.SummaryStart < uint64(len(Magic)) || ft.SummaryStart > uint64(end):
		return nil, because("bad_index", "summary starts at %d, outside the file", ft.SummaryStart), nil
	case end-int64(ft.SummaryStart) > lim.summary():
		return nil, because("bad_index", "summary of %d bytes is more than the limit of %d", end-int64(ft.SummaryStart), lim.summary()), nil
	}
	start := int64(ft.SummaryStart)
	var sum []byte
	if start >= at {
		sum = tail[start-at : end-at]
	} else {
		sum = make([]byte, end-start)
		if err := readFull(ctx, src, sum[:min(at, end)-start], start); err != nil {
			return nil, nil, err
		}
		if end > at {
			copy(sum[at-start:], tail[:end-at])
		}
	}
	if ft.SummaryCRC != 0 {
		crc := crc32.Update(crc32.ChecksumIEEE(sum), crc32.IEEETable, foot[:frameLen+16])
		if crc != ft.SummaryCRC {
			return nil, because("crc_mismatch", "summary has CRC %08x and claims %08x", crc, ft.SummaryCRC), nil
		}
	}
	in := &Info{Indexed: true, tail: tail, tailAt: at}
	if why := in.parseSummary(sum, start); why != nil {
		return nil, why, nil
	}
	if why := in.check(start); why != nil {
		return nil, why, nil
	}
	if !in.count() {
		why, err := in.onlyChunks(ctx, src, start)
		if why != nil || err != nil {
			return nil, why, err
		}
	}
	in.Header, err = headerIn(ctx, src, head, lim)
	if err != nil {
		in.Problems = append(in.Problems, pipeline.Problem{Kind: "bad_record", Offset: int64(len(Magic)), Detail: err.Error()})
	}
	return in, nil, nil
}

// headerIn reads the Header.
func headerIn(ctx context.Context, src pipeline.Source, head []byte, lim Limits) (Header, error) {
	if b := head[len(Magic):]; len(b) >= frameLen && Op(b[0]) == OpHeader {
		n := binary.LittleEndian.Uint64(b[1:])
		if n > uint64(len(b)-frameLen) && n <= uint64(min(lim.record(), src.Object().Size-int64(len(Magic)+frameLen))) {
			b = make([]byte, frameLen+n)
			if err := readFull(ctx, src, b, int64(len(Magic))); err != nil {
				return Header{}, err
			}
			head = append([]byte(Magic), b...)
		}
	}
	op, content, _, err := record(head, len(Magic))
	if err != nil {
		return Header{}, err
	}
	if op != OpHeader {
		return Header{}, errNoHeader
	}
	return ParseHeader(content)
}

// parseSummary reads the records of the summary, which begins at offset start.
func (in *Info) parseSummary(sum []byte, start int64) *reason {
	defs := newDefinitions(func(kind string, off int64, loses bool, format string, args ...any) {
		in.Problems = append(in.Problems, pipeline.Problem{Kind: kind, Offset: off, Loses: loses, Detail: because(kind, format, args...).detail})
	})
	for pos := 0; ; {
		op, content, next, err := record(sum, pos)
		if err != nil {
			return because("bad_index", "summary, offset %d: %v", start+int64(pos), err)
		}
		if op == 0 {
			break
		}
		switch op {
		case OpSchema, OpChannel:
			defs.add(op, content, start+int64(pos))
		case OpStatistics:
			var st Statistics
			st, err = ParseStatistics(content)
			in.Statistics = &st
		case OpChunkIndex:
			var x ChunkIndex
			if x, err = ParseChunkIndex(content); err == nil {
				if why := in.addChunk(x, start); why != nil {
					return why
				}
			}
		case OpAttachmentIndex:
			var x AttachmentIndex
			x, err = ParseAttachmentIndex(content)
			in.Attachments = append(in.Attachments, x)
		case OpMetadataIndex:
			var x MetadataIndex
			x, err = ParseMetadataIndex(content)
			in.Metadata = append(in.Metadata, x)
		case OpSummaryOffset, OpHeader:
		case OpMessage, OpChunk, OpMessageIndex, OpDataEnd, OpFooter:
			return because("bad_index", "summary, offset %d: %s in the summary", start+int64(pos), op)
		}
		if err != nil {
			return because("bad_index", "summary, offset %d: %v", start+int64(pos), err)
		}
		pos = next
	}
	in.Schemas, in.Channels = defs.schemas, defs.channels
	slices.SortStableFunc(in.Attachments, func(a, b AttachmentIndex) int { return cmp.Compare(a.Offset, b.Offset) })
	slices.SortStableFunc(in.Metadata, func(a, b MetadataIndex) int { return cmp.Compare(a.Offset, b.Offset) })
	slices.SortStableFunc(in.blocks, func(a, b block) int { return cmp.Compare(a.offset, b.offset) })
	return nil
}

// addChunk takes up a chunk index, with the number of messages of each channel
// that follows from where their indexes lie. The messages are not told for a
// chunk without message indexes: that it has none is only known from the sum.
func (in *Info) addChunk(x ChunkIndex, summary int64) *reason {
	end := uint64(summary)
	if x.Offset < uint64(len(Magic)) || x.Length < frameLen || x.Length > end || x.Offset > end-x.Length || x.MessageIndexLength > end-x.Offset-x.Length {
		return because("bad_index", "chunk index: %d bytes at %d with %d bytes of message indexes lie outside the data section", x.Length, x.Offset, x.MessageIndexLength)
	}
	b := block{
		offset: int64(x.Offset), length: int64(x.Length), chunk: true,
		codec: x.Compression, stored: clampTime(x.CompressedSize), raw: clampTime(x.UncompressedSize),
		start: x.StartTime, end: x.EndTime,
	}
	offs := x.MessageIndexOffsets
	slices.SortFunc(offs, func(a, b ChannelOffset) int { return cmp.Compare(a.Offset, b.Offset) })
	at, stop := x.Offset+x.Length, x.Offset+x.Length+x.MessageIndexLength
	b.counted = len(offs) > 0
	for i, o := range offs {
		next := stop
		if i+1 < len(offs) {
			next = offs[i+1].Offset
		}
		// Frame, channel, length of the array, then 16 bytes for each message.
		const fixed = frameLen + 2 + 4
		if o.Offset != at || next < at+fixed || (next-at-fixed)%16 != 0 || (next-at-fixed)/16 > math.MaxUint32 {
			b.counted = false
		}
		if b.counted {
			b.counts = append(b.counts, channelCount{o.ChannelID, uint32((next - at - fixed) / 16)})
		} else {
			b.counts = append(b.counts[:i:i], channelCount{o.ChannelID, 0})
		}
		at = next
	}
	in.blocks = append(in.blocks, b)
	return nil
}

// check finds contradictions in a summary.
func (in *Info) check(start int64) *reason {
	st := in.Statistics
	switch {
	case st == nil:
		return because("unindexed", "the summary has no statistics")
	case len(in.blocks) == 0 && st.MessageCount > 0:
		return because("unindexed", "the summary has no chunk indexes")
	case int(st.ChunkCount) != len(in.blocks):
		return because("bad_index", "%d chunk indexes for %d chunks", len(in.blocks), st.ChunkCount)
	case int(st.ChannelCount) > len(in.Channels):
		return because("unindexed", "the summary has %d of %d channels", len(in.Channels), st.ChannelCount)
	case int(st.ChannelCount) < len(in.Channels):
		return because("bad_index", "%d channels in the summary and %d in the statistics", len(in.Channels), st.ChannelCount)
	case int(st.SchemaCount) > len(in.Schemas):
		return because("unindexed", "the summary has %d of %d schemas", len(in.Schemas), st.SchemaCount)
	case int(st.AttachmentCount) > len(in.Attachments):
		return because("unindexed", "the summary has %d of %d attachments", len(in.Attachments), st.AttachmentCount)
	case int(st.MetadataCount) > len(in.Metadata):
		return because("unindexed", "the summary has %d of %d metadata records", len(in.Metadata), st.MetadataCount)
	}
	for id, c := range in.Channels {
		if _, ok := in.Schemas[c.SchemaID]; !ok && c.SchemaID != 0 {
			return because("unindexed", "the summary does not have schema %d of channel %d", c.SchemaID, id)
		}
	}
	if len(st.ChannelMessageCounts) > 0 {
		var sum uint64
		for id, n := range st.ChannelMessageCounts {
			if _, ok := in.Channels[id]; !ok {
				return because("bad_index", "the statistics count channel %d, which is not defined", id)
			}
			if n > st.MessageCount-sum {
				sum = math.MaxUint64
				break
			}
			sum += n
		}
		if sum != st.MessageCount {
			return because("bad_index", "the statistics count %d messages, and others by channel", st.MessageCount)
		}
	}
	last := int64(0)
	for _, b := range in.blocks {
		if b.offset < last {
			return because("bad_index", "chunk indexes overlap at %d", b.offset)
		}
		last = b.offset + b.length
		for _, c := range b.counts {
			if _, ok := in.Channels[c.channel]; !ok {
				return because("bad_index", "a chunk index has channel %d, which is not defined", c.channel)
			}
		}
	}
	return nil
}

// count decides whether the numbers of messages in the chunk indexes can be
// relied on: their sums are those of the statistics, and so are the times.
// Then chunks without message indexes have no messages.
func (in *Info) count() bool {
	st := in.Statistics
	var total uint64
	by := map[uint16]uint64{}
	start, end := uint64(math.MaxUint64), uint64(0)
	for _, b := range in.blocks {
		if len(b.counts) > 0 && !b.counted {
			return false
		}
		if n := uint64(b.messages()); n > 0 {
			total += n
			start, end = min(start, b.start), max(end, b.end)
		}
		for _, c := range b.counts {
			by[c.channel] += uint64(c.count)
		}
	}
	if total != st.MessageCount || total > 0 && (start != st.StartTime || end != st.EndTime) {
		return false
	}
	for id, n := range st.ChannelMessageCounts {
		if by[id] != n {
			return false
		}
	}
	for i := range in.blocks {
		in.blocks[i].counted = true
	}
	in.counted = true
	in.number()
	return true
}

// maxGapRecords bounds the small reads of onlyChunks.
const maxGapRecords = 64

// onlyChunks looks at the records between chunks for messages, which no index
// tells of.
func (in *Info) onlyChunks(ctx context.Context, src pipeline.Source, end int64) (*reason, error) {
	for i := range in.blocks {
		in.blocks[i].counted = false
	}
	skip := append(slices.Clone(in.blocks), block{offset: end})
	reads := 0
	for pos := int64(len(Magic)); pos < end; {
		if pos == skip[0].offset {
			pos += skip[0].length
			skip = skip[1:]
			continue
		}
		left := skip[0].offset - pos - frameLen
		if left < 0 {
			return because("bad_index", "no record ends where the index has a chunk, at %d", skip[0].offset), nil
		}
		if reads++; reads > maxGapRecords*(1+len(in.blocks)) {
			return because("unindexed", "too many records outside of chunks to look at each"), nil
		}
		var f [frameLen]byte
		if err := readFull(ctx, src, f[:], pos); err != nil {
			return nil, err
		}
		op, n := Op(f[0]), binary.LittleEndian.Uint64(f[1:])
		switch {
		case op == OpMessage:
			return because("unindexed", "there are messages outside of chunks"), nil
		case op == OpChunk:
			return because("bad_index", "a chunk at %d is not in the index", pos), nil
		case op == 0 || n > uint64(left):
			return because("bad_index", "no record ends where the index has a chunk, at %d", skip[0].offset), nil
		}
		pos += frameLen + int64(n)
	}
	return nil, nil
}
