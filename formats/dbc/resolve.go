package dbc

import (
	"strings"

	"github.com/drivemill/drivemill/pipeline"
)

type refKind uint8

const (
	refSenders refKind = iota
	refComment
	refLabels
	refType
	refMultiplex
	refDefault
	refAttribute
)

// reference is a statement about something declared elsewhere in the file.
type reference struct {
	kind      refKind
	object    object
	id        uint32
	name      string // of a signal, or of an attribute
	attribute string
	text      string
	number    int
	names     []string
	labels    []rawLabel
	ranges    []Range
	pos       pipeline.Pos
}

// find returns the message with an identifier as it stands in the file.
func (p *parser) find(id uint32) *Message {
	if m := p.messages[messageKey{id & 0x1fffffff, id>>31 != 0}]; m != nil {
		return m
	}
	if id>>31 == 0 && id > 0x7ff { // taken to be extended
		return p.messages[messageKey{id & 0x1fffffff, true}]
	}
	return nil
}

// targets lists the signals of that name.
func (p *parser) targets(m *Message, name string) []*Signal {
	index := p.byName[m]
	if index == nil {
		index = make(map[string][]*Signal, len(m.Signals))
		for _, s := range m.Signals {
			index[s.Name] = append(index[s.Name], s)
		}
		p.byName[m] = index
	}
	return index[name]
}

// resolve applies all references, then derives what follows from them. Names
// become long at the very end, because references use the short ones.
func (p *parser) resolve() {
	extended := make(map[*Signal]bool)
	for _, r := range p.refs {
		if r.kind == refDefault {
			for _, o := range []object{objNetwork, objMessage, objSignal} {
				if d := p.defs[attributeKey{o, r.name}]; d != nil {
					d.fallback, d.has = p.attributeValueOf(d, r), true
				}
			}
		}
	}
	for _, r := range p.refs {
		switch r.kind {
		case refDefault:
			continue
		case refComment, refAttribute:
			if r.object == objNetwork || r.object == objOther {
				p.network(r)
				continue
			}
		}
		m := p.find(r.id)
		if m == nil {
			if r.id != 0xc0000000 && r.kind != refComment {
				p.problem(r.pos, "there is no message with the identifier %d", r.id)
			}
			continue
		}
		if r.kind == refSenders {
			m.Senders = append(m.Senders, r.names...)
			continue
		}
		if r.object == objMessage {
			p.aboutMessage(m, r)
			continue
		}
		signals := p.targets(m, r.name)
		if len(signals) == 0 {
			p.problem(r.pos, "message %s has no signal %s", m.Name, r.name)
		}
		for _, s := range signals {
			p.aboutSignal(m, s, r, extended)
		}
	}
	protocol := p.protocol()
	fd := strings.Contains(strings.ToUpper(p.networkAttribute("BusType")), "FD")
	for _, m := range p.db.Messages {
		p.format(m, protocol, fd)
		p.multiplexing(m, extended)
		p.check(m)
	}
	for _, m := range p.db.Messages {
		if long := m.Attributes["SystemMessageLongSymbol"]; long != "" {
			m.Name = long
		}
		for _, s := range m.Signals {
			if long := s.Attributes["SystemSignalLongSymbol"]; long != "" {
				s.Name = long
			}
		}
	}
}

// attributeValueOf makes the value of a reference to an attribute into text.
func (p *parser) attributeValueOf(d *attributeDef, r reference) string {
	v, ok := d.value(r.text)
	if !ok {
		p.problem(r.pos, "%q is none of the values of attribute %s", r.text, cmpOr(r.attribute, r.name))
	}
	return v
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func (p *parser) network(r reference) {
	switch {
	case r.object == objOther:
	case r.kind == refComment:
		p.db.Comment = r.text
	default:
		p.db.Attributes[r.attribute] = p.attributeValueOf(p.defs[attributeKey{objNetwork, r.attribute}], r)
	}
}

func (p *parser) aboutMessage(m *Message, r reference) {
	if r.kind == refComment {
		m.Comment = r.text
		return
	}
	if m.Attributes == nil {
		m.Attributes = make(map[string]string)
	}
	m.Attributes[r.attribute] = p.attributeValueOf(p.defs[attributeKey{objMessage, r.attribute}], r)
}

func (p *parser) aboutSignal(m *Message, s *Signal, r reference, extended map[*Signal]bool) {
	switch r.kind {
	case refComment:
		s.Comment = r.text
	case refAttribute:
		if s.Attributes == nil {
			s.Attributes = make(map[string]string)
		}
		s.Attributes[r.attribute] = p.attributeValueOf(p.defs[attributeKey{objSignal, r.attribute}], r)
	case refType:
		s.Kind = Integer
		switch {
		case r.number == 0:
		case s.Length == 64:
			s.Kind = Float64
		case s.Length == 32:
			s.Kind = Float32
		case s.Length == 16:
			s.Kind = Float16
		default:
			p.problem(r.pos, "signal %s of message %s has %d bits, which no IEEE 754 number has; it is read as an integer", s.Name, m.Name, s.Length)
		}
	case refLabels:
		labels := r.labels
		if r.text != "" {
			t, ok := p.tables[r.text]
			if !ok {
				p.problem(r.pos, "there is no value table %s", r.text)
			}
			labels = t
		}
		p.label(m, s, labels, r.pos)
	case refMultiplex:
		var parent *Signal
		if found := p.targets(m, r.text); len(found) > 0 {
			parent = found[0]
		}
		switch {
		case parent == nil || !parent.Switch:
			p.problem(r.pos, "message %s has no multiplexer switch %s, on which signal %s should depend", m.Name, r.text, s.Name)
		case extended[s] && s.Parent != parent:
			p.problem(r.pos, "signal %s of message %s depends on two switches, %s and %s; the first counts", s.Name, m.Name, s.Parent.Name, parent.Name)
		default:
			s.Parent = parent
			s.Ranges = append(s.Ranges, r.ranges...)
			extended[s] = true
		}
	}
}

// label gives a signal its value table. Values that it cannot have are left
// out, of two texts for one value the last counts.
func (p *parser) label(m *Message, s *Signal, labels []rawLabel, pos pipeline.Pos) {
	if p.labelled += len(labels); p.labelled > maxLabels {
		p.problem(pos, "more than %d texts for values in the file; the table of signal %s is left out", maxLabels, s.Name)
		return
	}
	at := make(map[int64]int, len(labels))
	s.Labels = nil
	beyond := 0
	for _, l := range labels {
		if !s.holds(l.bits, l.negative) {
			beyond++
			continue
		}
		if i, ok := at[l.bits]; ok {
			s.Labels[i].Text = l.text
			continue
		}
		at[l.bits] = len(s.Labels)
		s.Labels = append(s.Labels, Label{l.bits, l.text})
	}
	if beyond > 0 {
		p.problem(pos, "%d values of the table of signal %s of message %s cannot occur in it", beyond, s.Name, m.Name)
	}
}

// holds reports whether a raw value fits the signal.
func (s *Signal) holds(bits int64, negative bool) bool {
	switch {
	case s.Kind != Integer:
		return true
	case s.Signed && negative:
		return bits >= -1<<(s.Length-1)
	case s.Signed:
		return uint64(bits) < 1<<(s.Length-1)
	case negative:
		return false
	}
	return s.Length == 64 || uint64(bits) < 1<<s.Length
}

// networkAttribute is an attribute of the network, or its default.
func (p *parser) networkAttribute(name string) string {
	v, set := p.db.Attributes[name]
	if d := p.defs[attributeKey{objNetwork, name}]; !set && d != nil {
		v = d.fallback
	}
	return v
}

// protocol tells the protocol of the whole database.
func (p *parser) protocol() Protocol {
	v := p.networkAttribute("ProtocolType")
	switch v = strings.ToUpper(strings.ReplaceAll(v, " ", "")); {
	case strings.HasPrefix(v, "J1939"):
		return J1939
	case strings.HasPrefix(v, "NMEA"):
		return NMEA2000
	}
	return PlainCAN
}

// frameFormats are the meanings of a VFrameFormat declared as a number.
var frameFormats = map[string]string{"0": "StandardCAN", "1": "ExtendedCAN", "3": "J1939PG", "14": "StandardCAN_FD", "15": "ExtendedCAN_FD"}

// format tells the frame format and protocol of a message.
func (p *parser) format(m *Message, network Protocol, fd bool) {
	v, set := m.Attributes["VFrameFormat"]
	if d := p.defs[attributeKey{objMessage, "VFrameFormat"}]; !set && d != nil {
		v = d.fallback
	}
	if f, ok := frameFormats[v]; ok {
		v = f
	}
	m.FD = strings.HasSuffix(v, "_FD")
	switch {
	case !m.Extended:
	case v == "J1939PG" && network == NMEA2000:
		m.Protocol = NMEA2000
	case v == "J1939PG":
		m.Protocol = J1939
	case v == "" || !set:
		m.Protocol = network
	}
	_, flow := m.Attributes["CanTpFcFrameId"]
	m.ISOTP = m.Protocol == PlainCAN && (flow || m.Length > 64 || m.Length > 8 && !m.FD && !fd)
}
