package dbc

// Group is the parts of a 29-bit identifier as SAE J1939-21 divides it.
type Group struct {
	PGN         uint32 // 18 bits; the low byte is 0 where it is a destination
	Priority    uint8
	Source      uint8
	Destination uint8 // only where Directed
	// Directed: the PDU format is below 240 (PDU1), and the group is sent to
	// Destination.
	Directed bool
}

// GroupOf divides a 29-bit identifier.
func GroupOf(id uint32) Group {
	g := Group{PGN: id >> 8 & 0x3ffff, Priority: uint8(id >> 26 & 7), Source: uint8(id)}
	if g.PGN>>8&0xff < 240 {
		g.Directed, g.Destination = true, uint8(g.PGN)
		g.PGN &^= 0xff
	}
	return g
}

// Validity is what a raw value of a J1939 or NMEA 2000 parameter says about
// itself.
type Validity uint8

const (
	Valid Validity = iota
	// Specific values are defined by the parameter (FB in the top byte).
	Specific
	// Reserved values have no meaning yet.
	Reserved
	// ErrorIndicator: the sender knows that it has no right value. In NMEA 2000
	// the value is out of range.
	ErrorIndicator
	// NotAvailable: the sender does not have the parameter.
	NotAvailable
)

type specialRule uint8

const (
	noSpecial specialRule = iota
	j1939Special
	nmeaSpecial
)

// specialRule tells whether values at the upper end of a signal's range have
// the meanings that J1939 or NMEA 2000 gives them. Lists of states, texts and
// control bits are not subject to it.
func (m *Message) specialRule(s *Signal) specialRule {
	if s.Kind != Integer {
		return noSpecial
	}
	switch s.Attributes["SigType"] {
	case "Discrete", "Control", "ASCII":
		return noSpecial
	}
	switch m.Protocol {
	case J1939:
		switch s.Length {
		case 4, 8, 10, 12, 16, 20, 24, 28, 32:
			if !s.Signed {
				return j1939Special
			}
		}
	case NMEA2000:
		if s.Length >= 4 {
			return nmeaSpecial
		}
	}
	return noSpecial
}

// classify tells the validity of a raw value of length bits.
func (r specialRule) classify(raw uint64, length int, signed bool) Validity {
	switch r {
	case j1939Special:
		switch length {
		case 4:
			switch {
			case raw <= 0xa:
				return Valid
			case raw <= 0xb:
				return Specific
			case raw <= 0xd:
				return Reserved
			case raw == 0xe:
				return ErrorIndicator
			}
			return NotAvailable
		case 10: // no whole top byte: the two highest values
			switch {
			case raw <= 0x3fa:
				return Valid
			case raw == 0x3fb:
				return Specific
			case raw <= 0x3fd:
				return Reserved
			case raw == 0x3fe:
				return ErrorIndicator
			}
			return NotAvailable
		}
		switch top := raw >> (length - 8); {
		case top <= 0xfa:
			return Valid
		case top == 0xfb:
			return Specific
		case top <= 0xfd:
			return Reserved
		case top == 0xfe:
			return ErrorIndicator
		}
		return NotAvailable
	case nmeaSpecial:
		top := ^uint64(0) >> (64 - length)
		if signed {
			top >>= 1
		}
		switch raw {
		case top:
			return NotAvailable
		case top - 1:
			return ErrorIndicator
		case top - 2:
			return Reserved
		}
	}
	return Valid
}

// Classify tells the validity of a raw value of signal s: Valid for messages
// and signals that have no such rule, and for values that have a text.
func (m *Message) Classify(s *Signal, raw uint64) Validity {
	rule := m.specialRule(s)
	if rule == noSpecial {
		return Valid
	}
	l := newLayout(s)
	for _, label := range s.Labels {
		if uint64(label.Raw) == uint64(l.integer(raw)) {
			return Valid
		}
	}
	return rule.classify(raw, s.Length, s.Signed)
}
