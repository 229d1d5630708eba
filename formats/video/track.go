package video

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"math"

	"github.com/drivemill/drivemill/formats/parquet"
	"github.com/drivemill/drivemill/pipeline"
)

// A fragment ends before the frame with which it would have more than this.
const (
	fragmentBytes  = 4 << 20
	fragmentFrames = 1 << 12
)

// defaultDuration is that of the only frame of a file.
const defaultDuration = timescale / 30

// frame is a frame that was taken, as the index tells of it.
type frame struct {
	row    int32
	number int64
	key    bool
	codec  codec
	size   int64
	offset int64 // -1 until its fragment is written
	object string
}

// track is the video of one lake table.
type track struct {
	w    *writer
	lake string
	next int64 // number of the next row

	packet packet
	codec  codec
	sets   sets // those seen last
	live   bool // the frame before was taken: others may refer to it
	file   *file
	files  []*file
	parts  int

	waiting []*indexed // rows of the index, in order
}

// file is an MP4 file that is being written.
type file struct {
	key    string
	object pipeline.ObjectWriter
	sum    hash.Hash
	size   int64
	result pipeline.File

	codec    codec
	sets     sets
	start    int64 // time of the first frame, in ns
	last     int64 // of the last one, in timescale since start
	sequence uint32
	samples  []sample
	data     []byte // of samples
	entries  []entry
}

// add takes one message, or says why not.
func (t *track) add(ctx context.Context, row int32, ts int64, format string, data []byte) (*frame, *reason, error) {
	number := t.next
	t.next++
	c := codecOf(format)
	if c == noCodec {
		t.live = false
		return nil, refuse("format", "video_format", pipeline.ErrUnsupported, "format %q is no video that is read: h264 and h265 are", format), nil
	}
	p := &t.packet
	if why := p.parse(c, data); why != nil {
		t.live = false
		return nil, why, nil
	}
	known := t.sets
	if c != t.codec {
		known = nil
	}
	now, why := known.with(c, p.sets)
	if why != nil {
		t.live = false
		return nil, why, nil
	}
	t.codec, t.sets = c, now
	if p.pictures == 0 {
		return nil, refuse("data", "no_picture", pipeline.ErrUnsupported, "the packet has parameter sets or other information, but no picture"), nil
	}
	why, err := t.place(ctx, ts)
	if why != nil || err != nil {
		t.live = false
		return nil, why, err
	}
	t.live = true
	f := &frame{row: row, number: number, key: p.key, codec: c, offset: -1, object: t.file.key}
	t.file.append(p, ts, f)
	return f, nil, nil
}

// place makes room for the packet at hand: in the file that is open, or in a
// new one. The reason says why there is no place.
func (t *track) place(ctx context.Context, ts int64) (*reason, error) {
	p, f := &t.packet, t.file
	if !p.key {
		switch {
		case f == nil || !t.live:
			return refuse("data", "before_keyframe", pipeline.ErrUnsupported, "a frame that refers to others, none of which is there"), nil
		case t.codec != f.codec || !t.sets.equal(f.sets):
			return refuse("data", "parameter_change", pipeline.ErrUnsupported, "parameter sets change at a frame that is no keyframe"), nil
		case f.tick(ts) <= f.last:
			return refuse(pipeline.TimeColumn, "time_order", pipeline.ErrCorrupt, "the frame does not come a microsecond after the one before"), nil
		case f.tick(ts)-f.last > math.MaxUint32:
			return refuse(pipeline.TimeColumn, "time_gap", pipeline.ErrUnsupported, "more than an hour after the frame before"), nil
		}
		if len(f.samples) >= fragmentFrames || len(f.data)+len(p.nals)*4+size(p) > fragmentBytes {
			return nil, f.flush(f.tick(ts))
		}
		return nil, nil
	}
	if f != nil && t.codec == f.codec && t.sets.equal(f.sets) && f.size < int64(t.w.sink.cfg.FileBytes) {
		if at := f.tick(ts); at > f.last && at-f.last <= math.MaxUint32 {
			return nil, f.flush(at)
		}
	}
	head, why := t.head()
	if why != nil {
		return why, nil
	}
	if err := t.end(ctx); err != nil {
		return nil, err
	}
	return nil, t.begin(ctx, head, ts)
}

// head makes the head of a file of the sets in force.
func (t *track) head() ([]byte, *reason) {
	missing := func(what string) *reason {
		return refuse("data", "parameter_sets", pipeline.ErrCorrupt, "a keyframe without %s, in it or before it", what)
	}
	sps, pps := byte(7), byte(8)
	if t.codec == h265 {
		sps, pps = 33, 34
		if len(t.sets.of(32)) == 0 {
			return nil, missing("a video parameter set")
		}
	}
	switch {
	case len(t.sets.of(sps)) == 0:
		return nil, missing("a sequence parameter set")
	case len(t.sets.of(pps)) == 0:
		return nil, missing("a picture parameter set")
	}
	p, ok := parameters(t.codec, t.sets.of(sps)[0])
	if !ok || len(t.sets.of(sps)[0]) < 4 {
		return nil, refuse("data", "parameter_sets", pipeline.ErrCorrupt, "the sequence parameter set cannot be read")
	}
	return head(t.codec, t.sets, p), nil
}

func size(p *packet) (n int) {
	for _, nal := range p.nals {
		n += len(nal)
	}
	return n
}

// begin opens the next file.
func (t *track) begin(ctx context.Context, head []byte, ts int64) error {
	if err := t.w.firstUpload(); err != nil {
		return err
	}
	dir, partition := parquet.ObjectDir(t.lake, t.w.opt.DriveDate)
	key := fmt.Sprintf("%s%s-%s-%05d.mp4", dir, t.w.opt.Slot, t.w.opt.Revision[t.lake], t.parts)
	t.parts++
	object, err := t.w.sink.Store().Create(ctx, key)
	if err != nil {
		return err
	}
	t.file = &file{key: key, object: object, sum: sha256.New(), codec: t.codec, sets: t.sets, start: ts, last: -1,
		result: pipeline.File{Key: key, Table: t.lake, Partition: partition}}
	t.files = append(t.files, t.file)
	return t.file.write(head)
}

// end closes the file that is open, if there is one.
func (t *track) end(ctx context.Context) error {
	f := t.file
	if f == nil {
		return nil
	}
	t.file = nil
	if err := f.flush(-1); err != nil {
		return err
	}
	if err := f.write(tail(f.entries)); err != nil {
		return err
	}
	f.result.Bytes, f.result.SHA256 = f.size, hex.EncodeToString(f.sum.Sum(nil))
	f.samples, f.data, f.entries = nil, nil, nil
	if err := f.object.Finish(ctx); err != nil {
		return fmt.Errorf("uploading %s: %w", f.key, err)
	}
	return nil
}

func (f *file) write(b []byte) error {
	if _, err := f.object.Write(b); err != nil {
		return fmt.Errorf("writing %s: %w", f.key, err)
	}
	f.sum.Write(b)
	f.size += int64(len(b))
	return nil
}

// tick is a time in the file.
func (f *file) tick(ts int64) int64 {
	if ts < f.start {
		return -1
	}
	return (ts - f.start) / (1e9 / timescale)
}

// append adds the packet to the fragment: each NAL unit behind its length.
func (f *file) append(p *packet, ts int64, fr *frame) {
	at := f.tick(ts)
	if n := len(f.samples); n > 0 {
		f.samples[n-1].duration = uint32(at - f.last)
	}
	before := len(f.data)
	for _, nal := range p.nals {
		n := len(nal)
		f.data = append(f.data, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
		f.data = append(f.data, nal...)
	}
	fr.size = int64(len(f.data) - before)
	f.samples = append(f.samples, sample{at: at, size: int(fr.size), key: p.key, frame: fr})
	f.last = at
}

// flush writes the fragment. next is when the frame after it comes; -1 at the
// end of the file.
func (f *file) flush(next int64) error {
	n := len(f.samples)
	if n == 0 {
		return nil
	}
	last := &f.samples[n-1]
	switch {
	case next >= 0:
		last.duration = uint32(next - last.at)
	case n > 1:
		last.duration = f.samples[n-2].duration
	default:
		last.duration = defaultDuration
	}
	if f.samples[0].key {
		f.entries = append(f.entries, entry{f.samples[0].at, f.size})
	}
	f.sequence++
	if err := f.write(fragment(f.sequence, f.samples)); err != nil {
		return err
	}
	at := f.size
	for _, s := range f.samples {
		s.frame.offset = at
		at += int64(s.size)
	}
	if err := f.write(f.data); err != nil {
		return err
	}
	clear(f.samples)
	f.samples, f.data = f.samples[:0], f.data[:0]
	return nil
}
