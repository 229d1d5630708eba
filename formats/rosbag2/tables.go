package rosbag2

import (
	"maps"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/drivemill/drivemill/formats/mcap"
	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/pipeline"
)

// tabler makes the tables of a recording out of the topics of its files. Those
// of one name, type and definition share a table.
type tabler struct {
	*describer
	types *resolver
	keys  map[tableKey]int
	used  map[string]bool
	of    map[[2]string][]int // tables by topic and type
	// indexed tells for each table that all counts are from an index.
	indexed []bool
}

type tableKey struct{ topic, hash string }

// tables fills in tables, times and counts.
func (x *describer) tables() error {
	t := &tabler{
		describer: x, types: newResolver(x.f, x.distroName()),
		keys: make(map[tableKey]int), used: make(map[string]bool), of: make(map[[2]string][]int),
	}
	x.d.Indexed = x.trusted || x.rec.storage == storageMCAP
	for _, p := range x.rec.parts {
		var err error
		if p.db != nil {
			err = t.database(p)
		} else {
			err = t.mcap(p)
		}
		if err != nil {
			return err
		}
	}
	if x.whole {
		if err := t.hold(); err != nil {
			return err
		}
	}
	for i, m := range x.rec.tables {
		m.Indexed = -1
		if t.indexed[i] {
			m.Indexed = x.d.Tables[i].Rows
		}
	}
	if t.types.assumed() {
		x.problem("assumed_definitions", "", false, "the recording names no ROS distribution that is known (%q), definitions are those of %s", x.distroName(), t.types.release)
	}
	x.d.Details = append(x.d.Details, t.types.details()...)
	return nil
}

// database adds the topics of a database.
func (t *tabler) database(p *part) error {
	db := p.db
	for i := range db.topics {
		k := &db.topics[i]
		d := db.typeOf(k.typ)
		def := definition{typ: k.typ, format: k.format, encoding: d.encoding, text: d.text}
		at, err := t.table(k.name, def, k.rihs, qosJSON(&yaml.Node{Kind: yaml.ScalarNode, Value: k.qos}))
		if err != nil {
			return err
		}
		db.channel.set(k.id, t.channel(at))
		t.indexed[at] = false
		if !db.scanned {
			continue
		}
		info := &t.d.Tables[at]
		info.Rows += k.rows
		info.Bytes = max(info.Bytes, 0) + k.bytes
		if k.rows > 0 {
			widen(&info.Start, &info.End, &info.HasTime, k.start, k.end)
			widen(&t.d.Start, &t.d.End, &t.d.HasTime, k.start, k.end)
		}
	}
	if db.timed && !db.scanned {
		widen(&t.d.Start, &t.d.End, &t.d.HasTime, db.start, db.end)
	}
	return nil
}

// mcap adds the channels of an MCAP file.
func (t *tabler) mcap(p *part) error {
	in := p.info
	p.byID = make(map[uint16]int32)
	t.d.Indexed = t.d.Indexed && in.Indexed
	for _, id := range slices.Sorted(maps.Keys(in.Channels)) {
		c := in.Channels[id]
		s, defined := in.Schemas[c.SchemaID]
		if c.SchemaID == 0 {
			s = mcap.Schema{}
		}
		def := definition{typ: s.Name, format: c.MessageEncoding, encoding: s.Encoding, text: string(s.Data)}
		if !defined || s.Encoding == "" {
			def.encoding, def.text = "", ""
		}
		if def.typ == "" {
			def.typ = t.typeOf(c.Topic)
		}
		at, err := t.table(c.Topic, def, c.Metadata["topic_type_hash"], qosJSON(&yaml.Node{Kind: yaml.ScalarNode, Value: c.Metadata["offered_qos_profiles"]}))
		if err != nil {
			return err
		}
		p.byID[id] = t.channel(at)
		sum := in.Totals(id)
		info := &t.d.Tables[at]
		if sum.Rows < 0 || info.Rows < 0 {
			info.Rows = -1
		} else {
			info.Rows += sum.Rows
		}
		if sum.Bytes >= 0 {
			info.Bytes = max(info.Bytes, 0) + sum.Bytes
		}
		t.indexed[at] = t.indexed[at] && in.Indexed && info.Rows >= 0
		if sum.HasTime {
			widen(&info.Start, &info.End, &info.HasTime, sum.Start, sum.End)
		}
	}
	if start, end, ok := in.Range(); ok {
		widen(&t.d.Start, &t.d.End, &t.d.HasTime, start, end)
	}
	return nil
}

// widen makes a range hold another.
func widen(start, end *int64, has *bool, from, to int64) {
	if !*has {
		*start, *end, *has = from, to, true
	}
	*start, *end = min(*start, from), max(*end, to)
}

// typeOf is the type that the metadata gives a topic.
func (t *tabler) typeOf(name string) string {
	if t.meta != nil {
		for _, m := range t.meta.Topics {
			if m.Metadata.Name == name {
				return m.Metadata.Type
			}
		}
	}
	return ""
}

// channel makes a channel of the engine for a table.
func (t *tabler) channel(table int) int32 {
	t.rec.tableOf = append(t.rec.tableOf, int32(table))
	return int32(len(t.rec.tableOf) - 1)
}

// table finds or makes the table of a topic. The first table of a topic has its
// name; others have a part of their hash as well.
func (t *tabler) table(topic string, def definition, rihs, qos string) (int, error) {
	hash := def.hash()
	key := tableKey{topic, hash}
	if at, ok := t.keys[key]; ok {
		t.d.Tables[at].Latched = t.d.Tables[at].Latched || isLatched(qos)
		return at, nil
	}
	name := topic
	for n := 6; t.used[name]; n++ {
		name = topic + "#" + hash[:n]
	}
	t.used[name] = true
	r := t.types.layout(def)
	attrs := map[string]string{"definition": hash[:16]}
	for k, v := range map[string]string{
		"encoding": def.format, "type": def.typ, "schema_encoding": def.encoding, "type_description_hash": rihs,
		"offered_qos_profiles": qos, "definition_source": r.source,
	} {
		if v != "" {
			attrs[k] = v
		}
	}
	layout := r.layout
	m, err := message.NewTable(name, envelopes[t.rec.storage], layout, attrs)
	if err != nil && layout != nil {
		t.problem("bad_schema", name, false, "%s: %v", def.typ, err)
		layout = nil
		m, err = message.NewTable(name, envelopes[t.rec.storage], nil, attrs)
	}
	if err != nil {
		return 0, err
	}
	if r.kind != "" {
		t.problem(r.kind, name, false, "%s", r.detail)
	}
	at := len(t.rec.tables)
	t.keys[key] = at
	t.of[[2]string{topic, def.typ}] = append(t.of[[2]string{topic, def.typ}], at)
	t.indexed = append(t.indexed, true)
	t.rec.tables = append(t.rec.tables, m)
	t.d.Tables = append(t.d.Tables, pipeline.TableInfo{
		Table: m.Table, Bytes: -1, Encoding: def.format, SchemaName: def.typ, Raw: layout == nil, Latched: isLatched(qos),
	})
	return at, nil
}

// hold compares the counts with those of the metadata, which promise rows that
// are not there. Topics that no file has make tables without rows.
func (t *tabler) hold() error {
	listed := make(map[[2]string]bool)
	for _, m := range t.meta.Topics {
		key := [2]string{m.Metadata.Name, m.Metadata.Type}
		if listed[key] {
			continue
		}
		listed[key] = true
		at := t.of[key]
		if len(at) == 0 {
			i, err := t.table(m.Metadata.Name, definition{typ: m.Metadata.Type, format: m.Metadata.Serialization}, m.Metadata.Hash, qosJSON(&m.Metadata.QoS))
			if err != nil {
				return err
			}
			at = []int{i}
		}
		if len(at) == 1 {
			t.compare(at[0], m.Messages)
			continue
		}
		for _, i := range at {
			if t.trusted {
				t.d.Tables[i].Rows = -1 // only their sum is known
			}
		}
	}
	return nil
}

// compare holds the count of the metadata against that of the files.
func (t *tabler) compare(table int, promised int64) {
	info := &t.d.Tables[table]
	switch {
	case t.trusted:
		info.Rows = max(promised, 0)
		t.indexed[table] = true
	case info.Rows < 0 || promised == info.Rows:
	case promised > info.Rows && (!t.indexed[table] || t.missing):
		if !t.missing {
			t.problem("metadata_mismatch", info.Table.Name, true, "%s promises %d messages, %d are there", MetadataFile, promised, info.Rows)
		}
		info.Rows = promised
		t.indexed[table] = true
	default:
		t.problem("metadata_mismatch", info.Table.Name, false, "%s tells of %d messages, %d are there", MetadataFile, promised, info.Rows)
	}
}
