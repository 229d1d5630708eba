package rosbag

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/drivemill/drivemill/pipeline"
)

// connection is one publisher of a topic.
type connection struct {
	id         uint32
	topic      string
	typ        string
	md5        string
	definition string
	callerid   string
	latching   bool
	// extra are the other fields of the connection header, by name.
	extra []string
	part  int   // which object of the recording it is of
	off   int64 // of the record, or of the chunk that holds it
	table int   // index of its table, once there are tables
}

// parseConnection reads the data of a connection record.
func parseConnection(id uint32, topic, data []byte) (connection, error) {
	c := connection{id: id, topic: string(topic)}
	f := fieldReader{buf: data}
	for {
		name, value, ok, err := f.next()
		if err != nil {
			return c, fmt.Errorf("connection %d: byte %d of its data: %w", id, f.off, err)
		}
		if !ok {
			return c, nil
		}
		switch string(name) {
		case "type":
			c.typ = string(value)
		case "md5sum":
			c.md5 = string(value)
		case "message_definition":
			c.definition = string(value)
		case "callerid":
			c.callerid = string(value)
		case "latching":
			c.latching = string(value) == "1"
		case "topic", "op", "conn":
			// The publisher's own name for the topic: the record's counts.
		default:
			if len(c.extra) < 32 && len(value) <= 1024 {
				c.extra = append(c.extra, string(name), string(value))
			}
		}
	}
}

// same reports whether o defines what c does. Publishers differ from one
// recording session to the next, so they do not count.
func (c *connection) same(o *connection) bool {
	return c.topic == o.topic && c.typ == o.typ && c.md5 == o.md5 && c.definition == o.definition
}

// matches is same for a connection record that was not parsed.
func (c *connection) matches(topic, data []byte) bool {
	if string(topic) != c.topic {
		return false
	}
	var typ, md5, definition []byte
	f := fieldReader{buf: data}
	for {
		name, value, ok, err := f.next()
		if err != nil {
			return false
		}
		if !ok {
			return string(typ) == c.typ && string(md5) == c.md5 && string(definition) == c.definition
		}
		switch string(name) {
		case "type":
			typ = value
		case "md5sum":
			md5 = value
		case "message_definition":
			definition = value
		}
	}
}

// errTooMany: what a file says of its connections does not fit into memory.
var errTooMany = fmt.Errorf("%w: more than %d connections, or %d bytes of them", pipeline.ErrLimit, maxConnections, maxDefinitions)

// connections gathers the connections of a bag; the first of an id holds.
type connections struct {
	list  []connection
	byID  map[uint32]int
	bytes int64
	// texts shares the definitions, of which many connections have the same.
	texts    map[string]string
	problems []pipeline.Problem
	warned   map[uint32]bool
}

func newConnections() *connections {
	return &connections{byID: make(map[uint32]int), texts: make(map[string]string), warned: make(map[uint32]bool)}
}

// add takes the connection whose record, or whose chunk, is at off.
func (cs *connections) add(id uint32, topic, data []byte, off int64) error {
	c, err := parseConnection(id, topic, data)
	if err != nil {
		return fmt.Errorf("%w: %w", pipeline.ErrCorrupt, err)
	}
	c.off = off
	if i, ok := cs.byID[id]; ok {
		if !cs.list[i].same(&c) && !cs.warned[id] {
			cs.warned[id] = true
			cs.problems = append(cs.problems, duplicate(&cs.list[i], off))
		}
		return nil
	}
	if len(cs.list) == maxConnections {
		return errTooMany
	}
	if t, ok := cs.texts[c.definition]; ok {
		c.definition = t
	} else {
		cs.bytes += int64(len(c.definition))
		cs.texts[c.definition] = c.definition
	}
	if cs.bytes += int64(len(data) - len(c.definition)); cs.bytes > maxDefinitions {
		return errTooMany
	}
	cs.byID[id] = len(cs.list)
	cs.list = append(cs.list, c)
	return nil
}

// sorted returns the connections by ascending id: an order that does not
// depend on how they were found.
func (cs *connections) sorted() []connection {
	slices.SortFunc(cs.list, func(a, b connection) int { return cmp.Compare(a.id, b.id) })
	return cs.list
}

func duplicate(c *connection, off int64) pipeline.Problem {
	return pipeline.Problem{
		Kind:   "duplicate_connection",
		Table:  c.topic,
		Offset: off,
		Detail: fmt.Sprintf("connection %d is defined again, differently; its first definition is used", c.id),
	}
}
