package mcap_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/drivemill/drivemill/formats/mcap"
	"github.com/drivemill/drivemill/pipeline"
)

// A file without any content; its summary has the checksum of nothing but the
// beginning of the footer.
func Test01Empty(t *testing.T) {
	b := newBuilder("")
	b.dataEnd()
	data := b.footer(0, 0)
	if got := le.Uint32(data[len(data)-12:]); got != 1875167664 {
		t.Fatalf("summary CRC %d", got)
	}
	r := read(t, data, choice{})
	if r.err != nil || r.total() != 0 || len(r.d.Tables) != 0 || slices.Contains(r.kinds(), "crc_mismatch") {
		t.Errorf("%v %v", r.err, r.problems)
	}
	if r := read(t, newBuilder("").finish(), choice{}); r.err != nil || !r.d.Indexed || len(r.problems) != 0 {
		t.Errorf("%v %+v", r.err, r.problems)
	}
}

// shuffled puts the records of a summary into another order.
func shuffled(data []byte, seed uint64) []byte {
	foot := len(data) - len(mcap.Magic) - 29
	start := int(le.Uint64(data[foot+9:]))
	var records [][]byte
	for at := start; at < foot; {
		n := 9 + int(le.Uint64(data[at+1:]))
		if mcap.Op(data[at]) != mcap.OpSummaryOffset {
			records = append(records, data[at:at+n])
		}
		at += n
	}
	rand.New(rand.NewPCG(seed, 1)).Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
	b := &builder{buf: slices.Clone(data[:start])}
	b.buf = append(b.buf, slices.Concat(records...)...)
	return b.footer(start, 0)
}

// The order of the records of a summary, and that of definitions and messages
// in a file without one, does not matter.
func TestReordered(t *testing.T) {
	data := sample("zstd", 57, nil).finish()
	for seed := range uint64(20) {
		r := read(t, shuffled(data, seed), choice{})
		wantSample(t, r, 57)
		if !r.d.Indexed || len(r.problems) != 0 {
			t.Fatalf("seed %d: %v", seed, r.problems)
		}
	}
	// The channel is defined only after its messages, in another chunk.
	b := newBuilder("")
	c := b.chunk()
	c.message(1, 1, pair(1, "early"))
	c.write("")
	c = b.chunk()
	c.schema(1, "pkg/A", "ros1msg", "x")
	c.channel(1, 1, "/a", "ros1")
	c.message(1, 2, pair(2, "late"))
	c.write("")
	for i, data := range bothWays(b) {
		r := read(t, data, choice{})
		if r.err != nil || len(r.rows["/a"]) != 2 || len(r.rejects) != 0 {
			t.Errorf("way %d: %v, %v, %v", i, r.err, r.rows, r.problems)
		}
	}
	// It is defined twice, and the second time differently.
	b = newBuilder("")
	b.schema(1, "pkg/A", "ros1msg", "x")
	b.channel(1, 1, "/a", "ros1")
	c = b.chunk()
	c.message(1, 1, pair(1, "one"))
	c.write("")
	b.buf = frame(b.buf, mcap.OpChannel, channelRecord(1, 1, "/other", "ros1"), 0)
	for i, data := range bothWays(b) {
		r := read(t, data, choice{})
		if r.err != nil || len(r.rows["/a"]) != 1 || i == 1 && !slices.Contains(r.kinds(), "channel_conflict") {
			t.Errorf("way %d: %v, %v, %v", i, r.err, r.rows, r.problems)
		}
	}
}

// Descriptions list attachments and metadata, which cost no request of their
// own where they lie in the tail; attachments can be extracted.
func Test35_36Described(t *testing.T) {
	b := big(100)
	b.attachment("../../etc/calib.yaml", []byte("focal: 1"))
	b.meta("rosbag2", map[string]string{"b": "2", "a": "1"})
	b.meta("rosbag2", map[string]string{"c": "3"})
	for i, data := range bothWays(b) {
		src := &memory{data: data}
		f := mcap.New()
		d, err := f.Describe(t.Context(), src)
		if err != nil {
			t.Fatal(err)
		}
		want := []pipeline.Detail{
			{Kind: "metadata", Name: "rosbag2", Fields: []pipeline.DetailField{{Name: "a", Value: "1"}, {Name: "b", Value: "2"}}},
			{Kind: "metadata", Name: "rosbag2", Fields: []pipeline.DetailField{{Name: "c", Value: "3"}}},
		}
		if got := fmt.Sprint(d.Details); got != fmt.Sprint(want) {
			t.Errorf("details %s", got)
		}
		if i == 0 && src.reads.Load() > 2 {
			t.Errorf("%d reads", src.reads.Load())
		}
		if len(d.Attachments) != 1 || d.Attachments[0].Name != "../../etc/calib.yaml" || d.Attachments[0].Size != 8 || d.Attachments[0].Time != 1 {
			t.Fatalf("attachments %+v", d.Attachments)
		}
		rc, err := f.OpenAttachment(t.Context(), src, d, 0)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(rc)
		if err != nil || string(got) != "focal: 1" {
			t.Errorf("%q %v", got, err)
		}
		rc.Close()
		src.data[d.Attachments[0].Offset+60] ^= 1 // in its data
		rc, err = f.OpenAttachment(t.Context(), src, d, 0)
		if err == nil {
			_, err = io.ReadAll(rc)
			rc.Close()
		}
		var de *pipeline.DecodeError
		if !errors.Is(err, pipeline.ErrCorrupt) || !errors.As(err, &de) || de.Offset != d.Attachments[0].Offset {
			t.Errorf("error %v", err)
		}
		if _, err := f.OpenAttachment(t.Context(), src, d, 1); !errors.Is(err, pipeline.ErrNotFound) {
			t.Errorf("error %v", err)
		}
	}
	// Metadata in front of large chunks is read at once, and told by name when
	// there is too much of it.
	b = newBuilder("")
	for i := range 100 {
		b.meta(fmt.Sprint("m", i), map[string]string{"k": strings.Repeat("v", 100)})
	}
	c := b.chunk()
	c.message(0, 1, make([]byte, 1<<20))
	c.b.channel(0, 0, "/raw", "x")
	c.write("")
	src := &memory{data: b.finish()}
	d, err := mcap.New().Describe(t.Context(), src)
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Details) != 100 || d.Details[0].Fields == nil || d.Details[99].Name != "m99" || d.Details[99].Fields != nil || src.reads.Load() > 3 {
		t.Errorf("%d details, %d reads", len(d.Details), src.reads.Load())
	}
}

// latchedSample has two latched channels with a message here and there, and in
// each chunk ten messages of text.
func latchedSample(chunks uint64, text string, set func(*builder)) *builder {
	b := newBuilder("ros1")
	if set != nil {
		set(b)
	}
	b.schema(1, "pkg/A", "ros1msg", "x")
	record := func(id uint16, topic string, metadata map[string]string) []byte {
		return textMap(str(str(le.AppendUint16(le.AppendUint16(nil, id), 1), topic), "ros1"), metadata)
	}
	b.buf = append(b.buf, b.define(mcap.OpChannel, record(1, "/odom", nil))...)
	b.buf = append(b.buf, b.define(mcap.OpChannel, record(2, "/map", map[string]string{"latching": "true"}))...)
	b.buf = append(b.buf, b.define(mcap.OpChannel, record(3, "/tf_static", map[string]string{"offered_qos_profiles": "- history: 1\n  durability: transient_local\n"}))...)
	for i := range chunks {
		c := b.chunk()
		for k := range uint64(10) {
			c.message(1, 100*i+k, pair(k, text))
		}
		switch i {
		case 3:
			c.message(2, 305, pair(0, "old map"))
			c.message(3, 306, pair(0, "static"))
		case 9:
			c.message(2, 905, pair(0, "map"))
			c.message(2, 904, pair(0, "map stored later, logged before"))
		case 41:
			c.message(2, 4105, pair(0, "map in range"))
		}
		c.write("")
	}
	return b
}

func TestLatched(t *testing.T) {
	for _, set := range []func(*builder){nil, func(b *builder) { b.noMessageIndex = true }} {
		for _, data := range bothWays(latchedSample(50, strings.Repeat("odom", 5000), set)) {
			for _, order := range []pipeline.Order{pipeline.StorageOrder, pipeline.LogOrder} {
				src := &memory{data: data}
				r := readWith(t, mcap.New(fake("ros1")), src, choice{tables: []string{"/odom", "/map", "/tf_static"}, from: 4100, to: 4200, order: order, latched: true, workers: 2})
				if r.err != nil {
					t.Fatal(r.err)
				}
				got := append(slices.Clone(r.rows["/map"]), r.rows["/tf_static"]...)
				for i := range got {
					got[i] = got[i][strings.LastIndex(got[i], "text="):]
				}
				if want := []string{"text=map", "text=map in range", "text=static"}; !slices.Equal(got, want) || len(r.rows["/odom"]) != 10 {
					t.Errorf("%v, %d of /odom", got, len(r.rows["/odom"]))
				}
				if r.d.Indexed && set == nil && r.read > int64(len(data)/10) {
					t.Errorf("read %d of %d bytes", r.read, len(data))
				}
			}
		}
	}
	r := read(t, latchedSample(50, "odom", nil).finish(), choice{from: 4100, to: 4200})
	if len(r.rows["/map"]) != 1 || len(r.rows["/tf_static"]) != 0 || !r.d.Tables[1].Latched || !r.d.Tables[2].Latched || r.d.Tables[0].Latched {
		t.Errorf("rows that nobody asked for: %v", r.rows)
	}
}

// Attributes come from the metadata that the settings name.
func TestAttributeSettings(t *testing.T) {
	spec := mcap.FormatSpec(fake("ros1"))
	b := newBuilder("")
	b.meta("a:b", map[string]string{"vin": "W0L", "other": "x"})
	for range 80 {
		b.meta("many", nil)
	}
	b.meta("late", map[string]string{"driver": "d7"})
	c := spec.Config().(*mcap.Config)
	c.Attributes = map[string]string{"vehicle_id": "a:b:vin", "driver": "late:driver", "absent": "a:b:no", "nowhere": "no:no"}
	f, err := spec.Configure(t.Context(), c, nil)
	if err != nil {
		t.Fatal(err)
	}
	d, err := f.Describe(t.Context(), &memory{data: b.finish()})
	if err != nil || fmt.Sprint(d.Attributes) != "map[driver:d7 vehicle_id:W0L]" {
		t.Errorf("%v %v", d.Attributes, err)
	}
	for name, v := range map[string]string{"Bad Name": "a:b", "x": "novalue", "y": "a:"} {
		c.Attributes = map[string]string{name: v}
		var issue *pipeline.Issue
		if _, err := spec.Configure(t.Context(), c, nil); !errors.As(err, &issue) {
			t.Errorf("%s: %s: %v", name, v, err)
		}
	}
}
