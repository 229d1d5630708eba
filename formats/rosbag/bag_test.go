package rosbag

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"
	"sort"
	"sync/atomic"

	"github.com/pierrec/lz4/v4"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
)

// bag writes bags for tests, right ones and wrong ones. Its zero value writes
// what ROS 1 writes.
type bag struct {
	out     []byte
	codec   string                     // of chunks; empty: none
	pack    func([]byte) []byte        // compresses instead of codec
	odd     bool                       // fields in reverse order, and one more
	pad     int                        // length of the bag header, 4096 by default
	noChunk bool                       // connections are not repeated in chunks
	noIndex bool                       // nor in the index
	noData  bool                       // no index data after chunks
	extra   []byte                     // field for the bag header
	sizeOf  func(raw []byte) uint32    // size in chunk records
	dataLen func(want int) uint32      // data_len of index data
	infos   func(infos []info) []info  // chunk infos as written
	counts  func(c, n uint32) []uint32 // conn_count and chunk_count as written
	before  []byte                     // bytes before the index

	conns []conn
	chunk []byte // open chunk
	index map[uint32][]byte
	info  info
	all   []info
}

type conn struct {
	id                  uint32
	topic, typ, md5, of string
	more                []string // further fields of the connection header
}

type info struct {
	pos        int64
	start, end uint64
	counts     map[uint32]uint32
}

func le32(v uint32) []byte { return binary.LittleEndian.AppendUint32(nil, v) }
func le64(v uint64) []byte { return binary.LittleEndian.AppendUint64(nil, v) }

// at is a time as bags hold it.
func at(sec, nsec uint32) uint64 { return uint64(nsec)<<32 | uint64(sec) }

// field returns a header field.
func field(name string, value []byte) []byte {
	f := le32(uint32(len(name) + 1 + len(value)))
	return append(append(f, name+"="...), value...)
}

// record returns a record.
func (b *bag) record(data []byte, fields ...[]byte) []byte {
	if b.odd {
		fields = append(slices.Clone(fields), field("extra", []byte("a=b\x00c")))
		slices.Reverse(fields)
	}
	h := slices.Concat(fields...)
	return slices.Concat(le32(uint32(len(h))), h, le32(uint32(len(data))), data)
}

func op(v byte) []byte { return field("op", []byte{v}) }

const strType, strDef = "std_msgs/String", "string data\n"
const strMD5 = "992ce8a1687cec8c8bd883ec73ca41d1"

func (b *bag) connection(c conn) []byte {
	var data []byte
	for k := 0; k+1 < len(c.more); k += 2 {
		data = append(data, field(c.more[k], []byte(c.more[k+1]))...)
	}
	data = append(data, field("type", []byte(c.typ))...)
	data = append(data, field("md5sum", []byte(c.md5))...)
	data = append(data, field("message_definition", []byte(c.of))...)
	return b.record(data, field("conn", le32(c.id)), op(opConnection), field("topic", []byte(c.topic)))
}

// connect declares a connection of strings.
func (b *bag) connect(id uint32, topic string, more ...string) {
	b.declare(conn{id, topic, strType, strMD5, strDef, more})
}

func (b *bag) declare(c conn) {
	b.conns = append(b.conns, c)
	if !b.noChunk {
		b.open()
		b.chunk = append(b.chunk, b.connection(c)...)
	}
}

// open makes sure that there is a bag header and an open chunk.
func (b *bag) open() {
	if b.out == nil {
		b.out = slices.Concat([]byte(magic+"\n"), b.header(0, 0, 0))
	}
	if b.index == nil {
		b.index = make(map[uint32][]byte)
		b.info = info{pos: int64(len(b.out)), start: math.MaxUint64, counts: map[uint32]uint32{}}
	}
}

func (b *bag) header(indexPos int, conns, chunks uint32) []byte {
	if b.counts != nil {
		n := b.counts(conns, chunks)
		conns, chunks = n[0], n[1]
	}
	fields := [][]byte{field("chunk_count", le32(chunks)), field("conn_count", le32(conns)),
		field("index_pos", le64(uint64(indexPos))), op(opBagHeader)}
	if b.extra != nil {
		fields = append(fields, b.extra)
	}
	pad := b.pad
	if pad == 0 {
		pad = 4096
	}
	n := len(b.record(nil, fields...)) - 8
	return b.record(bytes.Repeat([]byte(" "), max(0, pad-n)), fields...)
}

// message returns a message record.
func (b *bag) message(id uint32, t uint64, data []byte) []byte {
	return b.record(data, field("conn", le32(id)), op(opMessage), field("time", le64(t)))
}

// write adds a message to the open chunk.
func (b *bag) write(id uint32, t uint64, data string) {
	b.open()
	b.index[id] = append(b.index[id], slices.Concat(le64(t), le32(uint32(len(b.chunk))))...)
	b.chunk = append(b.chunk, b.message(id, t, []byte(data))...)
	b.info.counts[id]++
	if seconds(t) < seconds(b.info.start) {
		b.info.start = t
	}
	if seconds(t) > seconds(b.info.end) {
		b.info.end = t
	}
}

func seconds(t uint64) uint64 { return t<<32 | t>>32 }

// endChunk closes the chunk and writes its index data.
func (b *bag) endChunk() {
	raw, codec := b.chunk, b.codec
	data := raw
	switch {
	case b.pack != nil:
		data = b.pack(raw)
	case codec == codecLZ4:
		data = packLZ4(raw)
	case codec == "":
		codec = codecNone
	}
	size := uint32(len(raw))
	if b.sizeOf != nil {
		size = b.sizeOf(raw)
	}
	b.out = append(b.out, b.record(data, field("compression", []byte(codec)), op(opChunk), field("size", le32(size)))...)
	if !b.noData {
		for _, id := range sorted(b.index) {
			entries := b.index[id]
			r := b.record(entries, field("conn", le32(id)), field("count", le32(uint32(len(entries)/12))), op(opIndexData), field("ver", le32(1)))
			if b.dataLen != nil {
				binary.LittleEndian.PutUint32(r[len(r)-len(entries)-4:], b.dataLen(len(entries)))
			}
			b.out = append(b.out, r...)
		}
	}
	b.all = append(b.all, b.info)
	b.chunk, b.index = nil, nil
}

func sorted[V any](m map[uint32]V) []uint32 {
	ids := make([]uint32, 0, len(m))
	for id := range m {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// unclosed returns the bag without an index, as if its writer had died.
func (b *bag) unclosed() []byte {
	b.open()
	if b.chunk != nil {
		b.endChunk()
	}
	return slices.Clone(b.out)
}

// closed returns the bag with its index.
func (b *bag) closed() []byte {
	out := b.unclosed()
	out = append(out, b.before...)
	pos := len(out)
	n := uint32(0)
	if !b.noIndex {
		seen := map[uint32]bool{}
		for _, c := range b.conns {
			if !seen[c.id] {
				seen[c.id] = true
				out = append(out, b.connection(c)...)
				n++
			}
		}
	}
	infos := b.all
	if b.infos != nil {
		infos = b.infos(infos)
	}
	for _, i := range infos {
		var data []byte
		for _, id := range sorted(i.counts) {
			data = append(data, slices.Concat(le32(id), le32(i.counts[id]))...)
		}
		out = append(out, b.record(data, field("chunk_pos", le64(uint64(i.pos))), field("count", le32(uint32(len(i.counts)))),
			field("end_time", le64(i.end)), op(opChunkInfo), field("start_time", le64(i.start)), field("ver", le32(1)))...)
	}
	copy(out[len(magic)+1:], b.header(pos, n, uint32(len(infos))))
	return out
}

// packLZ4 compresses like ROS, independent blocks and a checksum of the content,
// though in smaller blocks.
func packLZ4(raw []byte) []byte {
	return packLZ4With(raw, lz4.ChecksumOption(true), lz4.BlockSizeOption(lz4.Block64Kb))
}

func packLZ4With(raw []byte, options ...lz4.Option) []byte {
	var out bytes.Buffer
	w := lz4.NewWriter(&out)
	if err := w.Apply(options...); err != nil {
		panic(err)
	}
	if _, err := w.Write(raw); err != nil {
		panic(err)
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return out.Bytes()
}

// object is a recording in memory that counts what is read of it.
type object struct {
	name  string
	data  []byte
	reads atomic.Int64
	bytes atomic.Int64
}

func inMemory(data []byte) *object { return &object{name: "mem://drive.bag", data: data} }

func (o *object) Object() pipeline.Object {
	return pipeline.Object{URI: o.name, Key: "drive.bag", Size: int64(len(o.data))}
}

func (o *object) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	o.reads.Add(1)
	n, err := bytes.NewReader(o.data).ReadAt(p, off)
	o.bytes.Add(int64(n))
	return n, err
}

func (o *object) Reader(_ context.Context, off, n int64) (io.ReadCloser, error) {
	o.reads.Add(1)
	if n < 0 {
		n = int64(len(o.data)) - off
	}
	o.bytes.Add(n)
	return io.NopCloser(bytes.NewReader(o.data[off : off+n])), nil
}

// tester is what *testing.T and *rapid.T have in common.
type tester interface {
	Helper()
	Errorf(string, ...any)
	Fatalf(string, ...any)
}

// row is a row of a raw table.
type row struct {
	table  string
	record int64
	time   int64
	data   string
}

func (r row) String() string { return fmt.Sprintf("%s[%d]@%d %q", r.table, r.record, r.time, r.data) }

// result is all that a decoder tells.
type result struct {
	d        *pipeline.Description
	rows     []row // by record, in LogOrder as they came
	counts   map[string]pipeline.TableCounts
	problems []pipeline.Problem // of description and decoder
}

func (r *result) kinds() []string {
	var kinds []string
	for _, p := range r.problems {
		kinds = append(kinds, p.Kind)
	}
	return kinds
}

func (r *result) has(kind string) bool { return slices.Contains(r.kinds(), kind) }

// payloads are the messages of all rows.
func (r *result) payloads() []string {
	out := []string{}
	for _, w := range r.rows {
		out = append(out, w.data)
	}
	return out
}

// read decodes data as raw tables and checks what must hold of every decoder.
func read(t tester, data []byte, sel pipeline.Selection, opt pipeline.DecodeOptions) *result {
	t.Helper()
	src := inMemory(data)
	d, err := New().Describe(context.Background(), src)
	if err != nil {
		t.Fatalf("describe: %v", err)
	}
	return decode(t, src, d, sel, opt)
}

func decode(t tester, src pipeline.Source, d *pipeline.Description, sel pipeline.Selection, opt pipeline.DecodeOptions) *result {
	t.Helper()
	ctx := context.Background()
	mem := arrow.NewCheckedAllocator(arrow.NewGoAllocator())
	opt.Allocator = mem
	if opt.Reject == nil {
		opt.Reject = func(pipeline.BadRow) error { return nil }
	}
	dec, err := New().Open(ctx, src, d, sel, opt)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	res := &result{d: d, counts: map[string]pipeline.TableCounts{}}
	for {
		el, err := dec.Next(ctx)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("next: %v", err)
		}
		if el.Batch == nil {
			continue
		}
		res.rows = appendRows(res.rows, el.Batch)
		el.Batch.Release()
	}
	for _, c := range dec.Counts() {
		res.counts[c.Table] = c
		sum := c.Decoded + c.Unselected
		for _, n := range c.Rejected {
			sum += n
		}
		if c.Found != sum {
			t.Errorf("ledger of %q: found %d of %+v", c.Table, c.Found, c)
		}
		if c.Indexed >= 0 && c.Indexed != c.Found+c.Lost {
			t.Errorf("ledger of %q: indexed %d of %+v", c.Table, c.Indexed, c)
		}
	}
	// All tables of tests without a decoder are raw.
	res.problems = slices.DeleteFunc(slices.Concat(d.Problems, dec.Problems()), func(p pipeline.Problem) bool { return p.Kind == "no_decoder" })
	if err := dec.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	mem.AssertSize(t, 0)
	if sel.Order == pipeline.StorageOrder {
		sort.SliceStable(res.rows, func(i, j int) bool { return res.rows[i].record < res.rows[j].record })
	}
	return res
}

func appendRows(rows []row, b *pipeline.Batch) []row {
	times, _ := b.Record.Column(b.Table.Column("log_time")).(*arrow.Timestamp)
	data, _ := b.Record.Column(b.Table.Column("data")).(*arrow.Binary)
	for i := range b.Rows() {
		rows = append(rows, row{b.Table.Name, b.Origin.At(i), int64(times.Value(i)), string(data.Value(i))})
	}
	return rows
}

// everything is the selection and the options of most tests.
func everything(t tester, data []byte) *result {
	t.Helper()
	return read(t, data, pipeline.Selection{}, pipeline.DecodeOptions{Workers: 2})
}

// drive is a bag of three chunks with two topics, whose messages are called
// m0, m1, ... in storage order. Chunks overlap in time.
func (b *bag) drive() *bag {
	b.connect(0, "/a", "callerid", "/node", "latching", "1")
	b.connect(1, "/b")
	n := uint32(0)
	for chunk := range uint32(3) {
		for i := range uint32(4) {
			b.write(i%2, at(100+2*n-3*chunk, n), fmt.Sprintf("m%d", n))
			n++
		}
		b.endChunk()
	}
	return b
}

func names(n int) []string {
	out := []string{}
	for i := range n {
		out = append(out, fmt.Sprintf("m%d", i))
	}
	return out
}

func equal(t tester, what string, got, want any) {
	t.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		t.Errorf("%s:\n got %s\nwant %s", what, g, w)
	}
}
