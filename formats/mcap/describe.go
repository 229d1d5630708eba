package mcap

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/pipeline"
)

// attributesName is the name of metadata records that give attributes, and
// attributeKeys are the keys that are read.
const attributesName = "drivemill"

var attributeKeys = []string{"vehicle_id", "drive_id", "logger", "campaign"}

// index is what Describe keeps for Open.
type index struct {
	info   *Info
	tables []*message.Table
	// byID holds the engine's channel of each channel id, -1 for none, and
	// tableOf the table of each of the engine's channels.
	byID    []int32
	tableOf []int32
}

// channel returns the engine's channel for an id of the file.
func (ix *index) channel(id uint16) int32 {
	if int(id) < len(ix.byID) {
		return ix.byID[id]
	}
	return -1
}

var envelope = []message.Envelope{message.LogTime, message.PublishTime, message.Sequence}

func ctxErr(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// describer turns an Info into a description.
type describer struct {
	f    *Format
	in   *Info
	d    *pipeline.Description
	ix   *index
	keys map[string]int // tables by what tells them apart
	used map[string]bool
}

func (f *Format) describe(ctx context.Context, src pipeline.Source, in *Info) (*pipeline.Description, error) {
	x := &describer{f: f, in: in, ix: &index{info: in}, keys: map[string]int{}, used: map[string]bool{}}
	x.d = &pipeline.Description{
		Format: Name, Version: Magic[5:6], Profile: in.Header.Profile, Writer: in.Header.Library,
		Indexed: in.Indexed, Compression: in.Compression(), Problems: slices.Clone(in.Problems), Index: x.ix,
	}
	ids := slices.Sorted(maps.Keys(in.Channels))
	if len(ids) > 0 {
		x.ix.byID = make([]int32, int(ids[len(ids)-1])+1)
		for i := range x.ix.byID {
			x.ix.byID[i] = -1
		}
	}
	for _, id := range ids {
		if err := x.channel(in.Channels[id]); err != nil {
			return nil, err
		}
	}
	x.times()
	x.overlap()
	x.profile()
	x.attachments()
	if err := x.metadata(ctx, src); err != nil {
		return nil, err
	}
	return x.d, nil
}

func (x *describer) problem(kind, table, format string, args ...any) {
	x.d.Problems = append(x.d.Problems, pipeline.Problem{Kind: kind, Table: table, Offset: -1, Detail: fmt.Sprintf(format, args...)})
}

// channel adds a channel to its table, which it makes where there is none.
func (x *describer) channel(c Channel) error {
	s := x.in.Schemas[c.SchemaID]
	if c.SchemaID == 0 {
		s = Schema{}
	}
	h := sha256.New()
	for _, part := range []string{c.MessageEncoding, s.Name, s.Encoding, string(s.Data)} {
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	hash := hex.EncodeToString(h.Sum(nil))
	key := c.Topic + "\x00" + hash
	i, ok := x.keys[key]
	if !ok {
		i = len(x.ix.tables)
		x.keys[key] = i
		if err := x.table(c, s, hash); err != nil {
			return err
		}
	}
	x.ix.byID[c.ID] = int32(len(x.ix.tableOf))
	x.ix.tableOf = append(x.ix.tableOf, int32(i))
	x.d.Tables[i].Latched = x.d.Tables[i].Latched || isLatched(c)
	x.count(&x.d.Tables[i], c.ID)
	x.ix.tables[i].Indexed = -1
	if x.in.Indexed {
		x.ix.tables[i].Indexed = x.d.Tables[i].Rows
	}
	return nil
}

// table makes a table for a channel. The first table of a topic has its name;
// others have a part of their hash as well.
func (x *describer) table(c Channel, s Schema, hash string) error {
	name := c.Topic
	for n := 6; x.used[name]; n++ {
		name = c.Topic + "#" + hash[:n]
	}
	x.used[name] = true
	layout := x.layout(c, s, name)
	attrs := map[string]string{"encoding": c.MessageEncoding, "definition": hash[:16]}
	if s.Name != "" {
		attrs["type"] = s.Name
	}
	if s.Encoding != "" {
		attrs["schema_encoding"] = s.Encoding
	}
	t, err := message.NewTable(name, envelope, layout, attrs)
	if err != nil && layout != nil {
		x.problem("bad_schema", name, "%s: %v", s.Name, err)
		layout = nil
		t, err = message.NewTable(name, envelope, nil, attrs)
	}
	if err != nil {
		return err
	}
	x.ix.tables = append(x.ix.tables, t)
	x.d.Tables = append(x.d.Tables, pipeline.TableInfo{
		Table: t.Table, Bytes: -1, Encoding: c.MessageEncoding, SchemaName: s.Name, Raw: layout == nil,
	})
	return nil
}

// layout parses the schema of a channel, or says why its table is raw.
func (x *describer) layout(c Channel, s Schema, table string) message.Layout {
	enc := x.f.encodings[c.MessageEncoding]
	if enc == nil {
		x.problem("raw_encoding", table, "message encoding %q is kept as bytes", c.MessageEncoding)
		return nil
	}
	_, defined := x.in.Schemas[c.SchemaID]
	l, err := enc.Parse(message.Schema{Name: s.Name, Encoding: s.Encoding, Data: s.Data})
	switch {
	case err == nil && c.SchemaID != 0 && !defined:
		x.problem("no_schema", table, "schema %d of channel %d is not defined; messages are decoded as without one", c.SchemaID, c.ID)
		return l
	case err == nil:
		return l
	case c.SchemaID == 0:
		x.problem("no_schema", table, "channel %d has no schema", c.ID)
	case !defined:
		x.problem("no_schema", table, "schema %d of channel %d is not defined", c.SchemaID, c.ID)
	default:
		x.problem("bad_schema", table, "%s: %v", s.Name, err)
	}
	return nil
}

// count adds the messages of a channel to its table.
func (x *describer) count(t *pipeline.TableInfo, id uint16) {
	sum := x.in.Totals(id)
	if x.in.Indexed {
		if sum.Rows < 0 {
			t.Rows = math.MinInt32 // made -1 in times
		}
		t.Rows += max(sum.Rows, 0)
		return
	}
	t.Rows += sum.Rows
	t.Bytes = max(t.Bytes, 0) + sum.Bytes
	if sum.HasTime {
		if !t.HasTime {
			t.Start, t.End, t.HasTime = sum.Start, sum.End, true
		}
		t.Start, t.End = min(t.Start, sum.Start), max(t.End, sum.End)
	}
}

// times fills the time range of the recording.
func (x *describer) times() {
	x.d.Start, x.d.End, x.d.HasTime = x.in.Range()
	for i := range x.d.Tables {
		if t := &x.d.Tables[i]; t.Rows < 0 {
			t.Rows = -1
			x.ix.tables[i].Indexed = -1
		}
	}
}

// overlap counts chunks that begin before an earlier one has ended.
func (x *describer) overlap() {
	var last uint64
	some := false
	for _, b := range x.in.blocks {
		if !b.chunk || b.counted && len(b.counts) == 0 {
			continue
		}
		if some && b.start < last {
			x.d.Overlapping++
		}
		last, some = max(last, b.end), true
	}
}

// profiles are the message encodings that profiles promise.
var profiles = map[string]string{"ros1": "ros1", "ros2": "cdr"}

func (x *describer) profile() {
	want := profiles[x.in.Header.Profile]
	if want == "" {
		return
	}
	for _, t := range x.d.Tables {
		if t.Encoding != want {
			x.problem("profile_mismatch", t.Table.Name, "profile %s and message encoding %q", x.in.Header.Profile, t.Encoding)
		}
	}
}
