package rosbag

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/pipeline"
)

// chunk is what is known of a chunk before it is decoded.
type chunk struct {
	part int   // which object of the recording it lies in
	off  int64 // of its record, or of its first message where it has none
	// next is where the next chunk, or the index, begins; 0 where the chunk was
	// found by a scan.
	next int64
	// dataOff and dataLen are where the data lie; dataLen is -1 where the chunk
	// record was not read.
	dataOff, dataLen int64
	codec            string
	size             int64 // unpacked, or unknownSize
	// counts are the messages by connection, a range of recording.counts;
	// they are known if counted is set, and then so are the times.
	countFrom, countTo int
	start, end         int64 // inclusive
	messages           int64
	counted            bool
	// salvage: the file ends inside the chunk; what is complete counts.
	salvage bool
	// reported: its damage is among the problems of the description.
	reported bool
}

// connCount is how many messages of a connection a chunk holds.
type connCount struct {
	conn  uint32
	count uint32
}

// recording is what Describe leaves for Open.
type recording struct {
	parts       []part
	conns       []connection // by part and ascending id
	tables      []*message.Table
	chunks      []chunk // by part and ascending offset
	counts      []connCount
	problems    []pipeline.Problem
	indexed     bool
	compression []pipeline.Compression
}

func (r *recording) problem(kind string, off int64, loses bool, format string, args ...any) {
	r.problems = append(r.problems, pipeline.Problem{Kind: kind, Offset: off, Loses: loses, Detail: fmt.Sprintf(format, args...)})
}

// part is one object of a recording.
type part struct {
	byID map[uint32]int // connections
	lost int64          // bytes that hold messages nobody can find
}

// conn returns the place in conns of a connection of a part.
func (r *recording) conn(part int, id uint32) (int, bool) {
	i, ok := r.parts[part].byID[id]
	return i, ok
}

// bagHeader is the first record.
type bagHeader struct {
	indexPos          int64 // 0: the bag was not closed
	connCount, chunks uint32
	end               int64 // where the first chunk should be
}

// Describe implements pipeline.Format. A split bag is described as one
// recording. A bag that was closed is described from its index; the compression sums are then exact for up to sampledChunks
// chunks and otherwise scaled up from as many, because the sizes lie in the
// headers of the chunks. All other bags are read from end to end.
func (f Format) Describe(ctx context.Context, src pipeline.Source) (*pipeline.Description, error) {
	rec, err := readParts(ctx, pipeline.Parts(src))
	if err != nil {
		return nil, err
	}
	d := &pipeline.Description{
		Format:      Name,
		Version:     "2.0",
		Indexed:     rec.indexed,
		Compression: rec.compression,
		Index:       rec,
	}
	for i := range rec.chunks {
		c := &rec.chunks[i]
		if !c.counted || c.messages == 0 {
			continue
		}
		if d.HasTime && c.start < d.End {
			d.Overlapping++
		}
		if !d.HasTime || c.start < d.Start {
			d.Start = c.start
		}
		if !d.HasTime || c.end > d.End {
			d.End = c.end
		}
		d.HasTime = true
	}
	if err := f.makeTables(rec, d); err != nil {
		return nil, err
	}
	d.Problems = rec.problems
	return d, nil
}

// readVersion reads the version line and returns where the first record begins.
func readVersion(ctx context.Context, in *file) (int64, error) {
	if in.size == 0 {
		return 0, in.truncated(0, "before its version line")
	}
	head, err := in.bytes(ctx, 0, 64)
	if err != nil {
		return 0, err
	}
	line, _, ok := bytes.Cut(head, []byte("\n"))
	if !ok && strings.HasPrefix(magic+"\n", string(head)) {
		return 0, in.truncated(in.size, "inside its version line")
	}
	name, version, found := strings.Cut(string(line), " V")
	if !ok || !found || !slices.Contains(magicNames, name) {
		return 0, in.corrupt(0, fmt.Errorf("no version line of a ROS 1 bag at the start"))
	}
	version = strings.TrimSuffix(version, "\r")
	if string(line) != magic {
		return 0, in.fail(0, fmt.Errorf("%w: bag version %q (%s); only 2.0 is read, `rosbag fix` or `rosbag migrate` of ROS 1 convert older bags",
			pipeline.ErrUnsupported, version, line))
	}
	return int64(len(line)) + 1, nil
}

// readBagHeader reads the record after the version line.
func readBagHeader(ctx context.Context, in *file, off int64) (bagHeader, error) {
	var h bagHeader
	r, err := in.record(ctx, off)
	if err != nil {
		return h, fmt.Errorf("reading bag header: %w", err)
	}
	if r.op != opBagHeader {
		return h, in.corrupt(off, fmt.Errorf("first record has op %#02x, not that of a bag header", r.op))
	}
	if len(r.encryptor) > 0 {
		return h, in.fail(off, fmt.Errorf("%w: bag is encrypted with %q", pipeline.ErrUnsupported, r.encryptor))
	}
	pos, err := u64(r.indexPos, "index_pos")
	if err != nil {
		return h, in.corrupt(off, fmt.Errorf("bag header: %w", err))
	}
	if h.connCount, err = u32(r.connCount, "conn_count"); err != nil {
		return h, in.corrupt(off, fmt.Errorf("bag header: %w", err))
	}
	if h.chunks, err = u32(r.chunkCount, "chunk_count"); err != nil {
		return h, in.corrupt(off, fmt.Errorf("bag header: %w", err))
	}
	h.end = r.end()
	if h.end > in.size {
		return h, in.truncated(in.size, fmt.Sprintf("inside its bag header, which claims %d chunks", h.chunks))
	}
	// An offset beyond int64 is beyond every file.
	h.indexPos = int64(min(pos, 1<<62))
	return h, nil
}

// readRecording reads the index, or where that fails everything.
func readRecording(ctx context.Context, in *file, head bagHeader) (*recording, error) {
	var why pipeline.Problem
	switch {
	case head.indexPos == 0:
		why = pipeline.Problem{Kind: "unindexed", Offset: head.end, Detail: "the bag was not closed: it has no index"}
	case head.indexPos > in.size:
		why = pipeline.Problem{Kind: "truncated", Offset: in.size, Loses: true,
			Detail: fmt.Sprintf("the file ends at %d, %d bytes before its index", in.size, head.indexPos-in.size)}
	default:
		rec, err := readIndex(ctx, newFile(in.src, indexStep), head)
		if err == nil {
			return rec, nil
		}
		d, ok := inFile(err)
		if !ok {
			return nil, err
		}
		why = pipeline.Problem{Kind: "bad_index", Offset: d.Offset, Detail: d.Err.Error()}
	}
	pipeline.NoteScan(ctx, in.src.Object())
	rec, err := scan(ctx, newFile(in.src, scanStep), head)
	if err != nil {
		return nil, err
	}
	rec.problems = append([]pipeline.Problem{why}, rec.problems...)
	if why.Kind == "truncated" {
		rec.parts[0].lost = head.indexPos - in.size
	}
	if len(rec.conns) == 0 {
		// Nothing can be read: if that is not because nothing was written,
		// the first loss is the answer.
		for _, p := range rec.problems {
			if p.Loses {
				kind := pipeline.ErrCorrupt
				if p.Kind == "truncated" {
					kind = pipeline.ErrTruncated
				}
				return nil, in.fail(p.Offset, fmt.Errorf("%w: nothing can be read: %s", kind, p.Detail))
			}
		}
	}
	return rec, nil
}
