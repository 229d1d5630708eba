package mdf4

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/drivemill/drivemill/pipeline"
)

// attachment is an ATBLOCK.
type attachment struct {
	off      int64
	name     string
	mime     string
	comment  string
	flags    uint16
	zip      uint8
	md5      [16]byte
	original int64
	stored   int64
	data     int64 // offset of the embedded bytes
}

// Flags of an attachment.
const (
	atEmbedded   = 1 << 0
	atDeflated   = 1 << 1
	atMD5        = 1 << 2
	atCompressed = 1 << 3
)

// readMeta reads what describes the recording beside its groups.
func (f *file) readMeta(ctx context.Context) error {
	f.headerDetails()
	err := f.chain(ctx, f.hd.firstFH, "FH", 64, func(b *block) error {
		s, props, err := f.comment(ctx, b.link(1))
		if err != nil {
			return err
		}
		d := detail("history", "", "time", f.wallTime(int64(b.u64(0)), b.u8(12)&1 != 0), "comment", s)
		for _, p := range props {
			d.Fields = append(d.Fields, pipeline.DetailField{Name: p.name, Value: p.value})
		}
		f.details = append(f.details, d)
		return nil
	})
	if err != nil {
		return err
	}
	if err := f.chain(ctx, f.hd.firstAT, "AT", 40, func(b *block) error { return f.readAttachment(ctx, b) }); err != nil {
		return err
	}
	if err := f.chain(ctx, f.hd.firstEV, "EV", 1<<10, func(b *block) error { return f.readEvent(ctx, b) }); err != nil {
		return err
	}
	if err := f.readHierarchy(ctx, f.hd.firstCH, "", 0); err != nil {
		return err
	}
	return f.readReductions(ctx)
}

func detail(kind, name string, kv ...string) pipeline.Detail {
	d := pipeline.Detail{Kind: kind, Name: name}
	for i := 0; i+1 < len(kv); i += 2 {
		if kv[i+1] != "" {
			d.Fields = append(d.Fields, pipeline.DetailField{Name: kv[i], Value: kv[i+1]})
		}
	}
	return d
}

func (f *file) headerDetails() {
	h := &f.hd
	d := detail("header", "", "start", f.wallTime(h.start, h.local), "comment", h.comment)
	add := func(name, value string) {
		d.Fields = append(d.Fields, pipeline.DetailField{Name: name, Value: value})
	}
	if h.zoned {
		add("time_zone_offset", fmt.Sprintf("%d min", h.tz))
		add("daylight_saving_offset", fmt.Sprintf("%d min", h.dst))
	}
	if class := map[uint8]string{10: "external", 16: "external absolute"}[h.class]; class != "" {
		add("time_source", class)
	}
	if h.hasAngle {
		add("start_angle_rad", strconv.FormatFloat(h.angle, 'g', -1, 64))
	}
	if h.hasDist {
		add("start_distance_m", strconv.FormatFloat(h.distance, 'g', -1, 64))
	}
	for _, p := range h.properties {
		add(p.name, p.value)
	}
	f.details = append(f.details, d)
}

// wallTime spells a time of the file; local ones have no zone.
func (f *file) wallTime(ns int64, local bool) string {
	t := time.Unix(0, ns).UTC()
	if local {
		return t.Format("2006-01-02T15:04:05.999999999")
	}
	return t.Format(time.RFC3339Nano)
}

func (f *file) readAttachment(ctx context.Context, b *block) error {
	a := attachment{off: b.off, flags: b.u16(0), zip: b.u8(4), original: int64(min(b.u64(24), math.MaxInt64)), stored: int64(min(b.u64(32), math.MaxInt64))}
	if len(b.data) >= 24 {
		copy(a.md5[:], b.data[8:24])
	}
	a.data = b.off + headerSize + 8*int64(len(b.links)) + 40
	var err error
	if a.name, err = f.text(ctx, b.link(1)); err != nil {
		return err
	}
	if a.mime, err = f.text(ctx, b.link(2)); err != nil {
		return err
	}
	if a.comment, err = f.text(ctx, b.link(3)); err != nil {
		return err
	}
	if a.flags&atEmbedded != 0 && (a.stored > f.size-min(a.data, f.size) || a.data+a.stored > b.off+b.size) {
		f.tell("bad_attachment", b.off, "attachment %q claims %d bytes, more than its block has", a.name, a.stored)
	}
	f.attachments = append(f.attachments, a)
	return nil
}

var eventTypes = []string{"recording", "recording interrupt", "acquisition interrupt", "start trigger", "stop trigger", "trigger", "marker"}
var eventRanges = []string{"", "begin", "end"}
var eventCauses = []string{"", "error", "tool", "script", "user"}
var syncUnits = []string{"", "s", "rad", "m", "index"}

func pick(list []string, i uint8) string {
	if int(i) < len(list) {
		return list[i]
	}
	return strconv.Itoa(int(i))
}

func (f *file) readEvent(ctx context.Context, b *block) error {
	name, err := f.text(ctx, b.link(3))
	if err != nil {
		return err
	}
	comment, err := f.text(ctx, b.link(4))
	if err != nil {
		return err
	}
	value := float64(int64(b.u64(16))) * b.f64(24)
	unit := pick(syncUnits, b.u8(1))
	d := detail("event", name, "type", pick(eventTypes, b.u8(0)), "range", pick(eventRanges, b.u8(2)), "cause", pick(eventCauses, b.u8(3)),
		"at", strconv.FormatFloat(value, 'g', -1, 64)+" "+unit, "comment", comment)
	if b.u8(1) == 1 {
		if ns, ok := addSeconds(f.hd.start, value); ok {
			d.Fields = append(d.Fields, pipeline.DetailField{Name: "time", Value: f.wallTime(ns, f.hd.local)})
		}
	}
	if b.u8(4)&1 != 0 {
		d.Fields = append(d.Fields, pipeline.DetailField{Name: "post_processed", Value: "true"})
	}
	f.details = append(f.details, d)
	return nil
}

var hierarchyTypes = []string{"group", "function", "structure", "map list", "input", "output", "local", "defined characteristic", "referenced characteristic"}

// readHierarchy lists the channel hierarchy with the names of the channels.
func (f *file) readHierarchy(ctx context.Context, off int64, path string, depth int) error {
	if depth > maxDepth {
		f.tell("bad_block", off, "the channel hierarchy nests deeper than %d", maxDepth)
		return nil
	}
	return f.chain(ctx, off, "CH", 16, func(b *block) error {
		name, err := f.text(ctx, b.link(2))
		if err != nil {
			return err
		}
		if path != "" {
			name = path + "/" + name
		}
		comment, err := f.text(ctx, b.link(3))
		if err != nil {
			return err
		}
		d := detail("hierarchy", name, "type", pick(hierarchyTypes, b.u8(4)), "comment", comment)
		for i := range int(min(b.u32(0), maxLinks)) {
			if 4+3*i+2 >= len(b.links) {
				break
			}
			if c := f.byOffset[b.link(4+3*i+2)]; c != nil {
				d.Fields = append(d.Fields, pipeline.DetailField{Name: "channel", Value: c.fullName()})
			}
		}
		f.details = append(f.details, d)
		return f.readHierarchy(ctx, b.link(1), name, depth+1)
	})
}

// readReductions lists sample reductions. They repeat what the samples say, so
// that they are no tables.
func (f *file) readReductions(ctx context.Context) error {
	for _, dg := range f.groups {
		for _, g := range dg.groups {
			err := f.chain(ctx, g.sr, "SR", 64, func(b *block) error {
				f.details = append(f.details, detail("sample_reduction", g.label(),
					"intervals", strconv.FormatUint(b.u64(0), 10), "interval", strconv.FormatFloat(b.f64(8), 'g', -1, 64)+" "+pick(syncUnits, b.u8(16))))
				return nil
			})
			if err != nil && !errors.Is(err, pipeline.ErrLimit) {
				return err
			}
		}
	}
	return nil
}

// fullName is the name of a channel with those of the structures around it.
func (c *channel) fullName() string {
	if c.parent == nil || c.parent.name == "" {
		return c.name
	}
	// Writers name members with or without the name of the parent.
	p := c.parent.fullName()
	if len(c.name) > len(p) && c.name[:len(p)] == p && c.name[len(p)] == '.' {
		return c.name
	}
	return p + "." + c.name
}

// label names a group for people.
func (g *group) label() string {
	if g.name != "" {
		return g.name
	}
	if g.source != nil && g.source.name != "" {
		return g.source.name
	}
	return fmt.Sprintf("group at offset %d", g.off)
}
