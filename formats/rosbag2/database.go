package rosbag2

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/formats/rosbag2/sqlite"
	"github.com/drivemill/drivemill/pipeline"
)

// maxDefinitions bounds the tables of a database that are read whole.
const maxDefinitions = 256 << 20

// database is what is known of a .db3 file before its messages are read.
type database struct {
	messages sqlite.Table
	columns  columns
	index    sqlite.Index // on timestamp; Root 0 for none
	version  int          // of the layout of tables, 1 to 4
	distro   string
	meta     *metadata // as of the newest row of table metadata; may be nil
	topics   []dbTopic
	types    map[string]dbType
	problems []pipeline.Problem
	lost     int64 // bytes behind the end of the file
	spare    int64 // rowids from the first to the last; -1 unknown
	// start and end are the first and last entry of the index on timestamps,
	// where timed.
	start, end int64
	timed      bool
	// channel finds the engine's channel of a topic.
	channel topicIndex

	// From a scan of all messages, if there was one.
	blocks  []dbBlock
	scanned bool
	zipped  bool // all messages begin like zstd
}

// columns are the positions of what is read of table messages.
type columns struct{ topic, time, data, last int }

// dbTopic is a row of table topics.
type dbTopic struct {
	id                           int64
	name, typ, format, qos, rihs string
	rows, bytes                  int64 // where scanned
	start, end                   int64
}

// dbType is a row of table message_definitions.
type dbType struct{ encoding, text string }

// typeOf returns the definition of a type. That of the events of a service
// stands under the name of the service.
func (db *database) typeOf(name string) dbType {
	d, ok := db.types[name]
	if service, isEvent := strings.CutSuffix(name, "_Event"); !ok && isEvent {
		d = db.types[service]
	}
	return d
}

// topicIndex finds something by topic id. Ids are small as a rule.
type topicIndex struct {
	small []int32
	large map[int64]int32
}

func (x *topicIndex) set(id int64, v int32) {
	if id < 0 || id >= 1<<16 {
		if x.large == nil {
			x.large = make(map[int64]int32)
		}
		x.large[id] = v
		return
	}
	for int64(len(x.small)) <= id {
		x.small = append(x.small, -1)
	}
	x.small[id] = v
}

func (x *topicIndex) get(id int64) int32 {
	if uint64(id) < uint64(len(x.small)) {
		return x.small[id]
	}
	if v, ok := x.large[id]; ok {
		return v
	}
	return -1
}

// openDatabase reads all but the messages of a database.
func openDatabase(ctx context.Context, src pipeline.Source) (*database, *sqlite.File, error) {
	file, err := sqlite.Open(ctx, src)
	if err != nil {
		return nil, nil, err
	}
	p := file.NewPager()
	defer p.Close()
	db := &database{types: make(map[string]dbType), spare: -1}
	schema, damage, err := file.Schema(ctx, p)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the schema: %w", err)
	}
	db.note("schema", damage)
	topics, ok1 := schema.Tables["topics"]
	messages, ok2 := schema.Tables["messages"]
	switch {
	case ok1 && ok2:
	case len(damage) > 0:
		return nil, nil, fmt.Errorf("the tables topics and messages cannot be found: %w", damage[0].Err)
	default:
		return nil, nil, fmt.Errorf("a SQLite database without tables topics and messages is no recording: %w", pipeline.ErrUnsupported)
	}
	if err := db.layout(messages); err != nil {
		return nil, nil, err
	}
	if missing := file.Missing(); missing > 0 {
		db.lost = missing
		db.problem("truncated", src.Object().Size, true, "the file lacks %d bytes of the pages that its header tells of", missing)
	}
	for _, x := range schema.Indexes {
		if x.Table == "messages" && len(x.Columns) > 0 && x.Columns[0] == "timestamp" {
			db.index = x
		}
	}
	if err := db.read(ctx, file, p, schema, topics); err != nil {
		return nil, nil, err
	}
	first, last, ok, err := file.RowidRange(ctx, p, messages.Root)
	if err != nil {
		return nil, nil, err
	}
	if ok && first <= last+1 && (first > 0 || last < math.MaxInt64+first) {
		db.spare = last - first + 1
	}
	if db.index.Root > 0 {
		if db.start, db.end, db.timed, err = file.IndexRange(ctx, p, db.index.Root); err != nil {
			return nil, nil, err
		}
		db.timed = db.timed && db.start <= db.end
	}
	return db, file, nil
}

func (db *database) problem(kind string, off int64, loses bool, format string, args ...any) {
	db.problems = append(db.problems, pipeline.Problem{Kind: kind, Offset: off, Loses: loses, Detail: fmt.Sprintf(format, args...)})
}

// note reports damage in a table that is read whole.
func (db *database) note(table string, damage []sqlite.Damage) {
	for _, d := range damage {
		db.problem("bad_page", d.Offset, true, "table %s: %v", table, d.Err)
	}
}

// layout finds the columns of table messages.
func (db *database) layout(t sqlite.Table) error {
	db.messages = t
	if err := t.Readable(); err != nil {
		return err
	}
	c := columns{topic: t.Column("topic_id"), time: t.Column("timestamp"), data: t.Column("data")}
	if c.topic < 0 || c.time < 0 || c.data < 0 {
		return fmt.Errorf("table messages has columns %q, not topic_id, timestamp and data: %w", t.Columns, pipeline.ErrUnsupported)
	}
	if t.Alias == c.topic || t.Alias == c.time {
		return fmt.Errorf("table messages keeps %s as rowid: %w", t.Columns[t.Alias], pipeline.ErrUnsupported)
	}
	c.last = max(c.topic, c.time, c.data)
	db.columns = c
	return nil
}

// read reads the tables beside messages.
func (db *database) read(ctx context.Context, file *sqlite.File, p *sqlite.Pager, schema *sqlite.Schema, topics sqlite.Table) error {
	rows := func(t sqlite.Table, fn func(id int64, get func(column string) sqlite.Value)) error {
		if t.Root == 0 {
			return nil
		}
		damage, err := file.Rows(ctx, p, t.Root, maxDefinitions, func(rowid int64, v []sqlite.Value) error {
			fn(rowid, func(column string) sqlite.Value {
				i := t.Column(column)
				switch {
				case i >= 0 && i == t.Alias:
					return sqlite.Value{Kind: sqlite.Integer, Int: rowid}
				case i < 0 || i >= len(v):
					return sqlite.Value{}
				}
				return v[i]
			})
			return nil
		})
		if err != nil {
			return fmt.Errorf("table %s: %w", t.Name, err)
		}
		db.note(t.Name, damage)
		return nil
	}
	err := rows(topics, func(id int64, get func(string) sqlite.Value) {
		text := func(column string) string { return file.Text(get(column)) }
		db.topics = append(db.topics, dbTopic{
			id: get("id").Int, name: text("name"), typ: text("type"), format: text("serialization_format"),
			qos: text("offered_qos_profiles"), rihs: text("type_description_hash"),
		})
	})
	if err != nil {
		return err
	}
	db.version = 1
	if topics.Column("offered_qos_profiles") >= 0 {
		db.version = 2
	}
	err = rows(schema.Tables["schema"], func(_ int64, get func(string) sqlite.Value) {
		db.version = int(get("schema_version").Int)
		db.distro = file.Text(get("ros_distro"))
	})
	if err != nil {
		return err
	}
	err = rows(schema.Tables["message_definitions"], func(_ int64, get func(string) sqlite.Value) {
		db.types[file.Text(get("topic_type"))] = dbType{file.Text(get("encoding")), file.Text(get("encoded_message_definition"))}
	})
	if err != nil {
		return err
	}
	return rows(schema.Tables["metadata"], func(_ int64, get func(string) sqlite.Value) {
		text := file.Text(get("metadata"))
		if text == "" {
			return
		}
		m, err := parseMetadata([]byte(text))
		if err != nil {
			db.problem("bad_metadata", -1, false, "table metadata: %v", err)
			return
		}
		db.meta = m
	})
}

// dbBlock is some leaves of table messages, as a scan found them.
type dbBlock struct {
	place      sqlite.Place // before the first leaf
	leaves     int
	first      int64 // ordinal of the first message
	counts     []topicCount
	start, end int64 // log times, where there are messages
}

// topicCount is a number of messages of a topic.
type topicCount struct {
	topic int32 // position in database.topics, -1 for none
	count int64
}

// scan walks over all messages without their bytes, as far as these lie on
// pages of their own.
func (db *database) scan(ctx context.Context, file *sqlite.File, target int) error {
	w := newDBWalker(db, file, target)
	defer w.Close()
	w.headOnly = db.headFirst()
	for i, t := range db.topics {
		w.channels.set(t.id, int32(i))
	}
	db.scanned, db.zipped = true, true
	ordinal := int64(0)
	for {
		var b message.Block
		x := dbBlock{place: w.cursor.Place(), first: ordinal}
		err := w.Fetch(ctx, &b)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		x.leaves = w.leaves
		w.list(&b)
		for _, p := range b.Problems {
			db.problems = append(db.problems, pipeline.Problem{Kind: p.Kind, Offset: p.Offset, Detail: p.Detail, Loses: p.Loses})
		}
		db.lost += b.LostBytes
		db.tally(&x, &b, b.Scratch.(*dbScratch).sizes)
		ordinal += int64(len(b.Records))
		db.blocks = append(db.blocks, x)
	}
	db.zipped = db.zipped && ordinal > 0
	return nil
}

// headFirst reports whether the data of a message come after its topic and
// time.
func (db *database) headFirst() bool {
	return db.columns.data > db.columns.topic && db.columns.data > db.columns.time
}

// tally sums up a block, the messages of which have the given sizes.
func (db *database) tally(x *dbBlock, b *message.Block, sizes []int64) {
	timed := false
	for i := range b.Records {
		r := &b.Records[i]
		at := slices.IndexFunc(x.counts, func(c topicCount) bool { return c.topic == r.Channel })
		if at < 0 {
			at = len(x.counts)
			x.counts = append(x.counts, topicCount{topic: r.Channel})
		}
		x.counts[at].count++
		if r.Channel < 0 {
			continue
		}
		db.zipped = db.zipped && isZstd(b.Data[r.Span.Start:r.Span.End])
		if !timed {
			x.start, x.end, timed = r.LogTime, r.LogTime, true
		}
		x.start, x.end = min(x.start, r.LogTime), max(x.end, r.LogTime)
		t := &db.topics[r.Channel]
		if t.rows == 0 {
			t.start, t.end = r.LogTime, r.LogTime
		}
		t.rows++
		t.bytes += sizes[i]
		t.start, t.end = min(t.start, r.LogTime), max(t.end, r.LogTime)
	}
}
