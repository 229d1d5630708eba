package dbc

// multiplexing finds for each signal that is not always sent its switch and
// the values it is sent with.
func (p *parser) multiplexing(m *Message, extended map[*Signal]bool) {
	var root *Signal
	roots := 0
	for _, s := range m.Signals {
		if s.Switch && !s.muxed && !extended[s] {
			if root == nil {
				root = s
			}
			roots++
		}
	}
	for _, s := range m.Signals {
		switch {
		case extended[s] || !s.muxed:
		case root == nil:
			p.problem(s.Pos, "signal %s depends on a switch, but message %s has none; it is read from every frame", s.Name, m.Name)
			s.muxed = false
		default:
			if roots > 1 {
				p.problem(s.Pos, "message %s has %d switches and nothing says on which signal %s depends; it is taken to be %s", m.Name, roots, s.Name, root.Name)
			}
			s.Parent, s.Ranges = root, []Range{{s.muxValue, s.muxValue}}
		}
	}
	kept := m.Signals[:0]
	for _, s := range m.Signals {
		if s.circular() {
			p.problem(s.Pos, "signal %s of message %s depends on itself; it is left out", s.Name, m.Name)
			continue
		}
		kept = append(kept, s)
	}
	m.Signals = kept
}

// circular reports whether the chain of switches above a signal never ends.
func (s *Signal) circular() bool {
	slow, fast := s, s
	for fast != nil && fast.Parent != nil {
		slow, fast = slow.Parent, fast.Parent.Parent
		if slow == fast {
			return true
		}
	}
	return false
}

// check reports what is suspicious about a message.
func (p *parser) check(m *Message) {
	plain := make(map[string]*Signal)
	kept := m.Signals[:0]
	for _, s := range m.Signals {
		if s.EndByte() > m.Length {
			p.problem(s.Pos, "signal %s ends in byte %d, but message %s has %d; it is null where a frame is too short for it", s.Name, s.EndByte()-1, m.Name, m.Length)
		}
		if s.Factor == 0 {
			p.problem(s.Pos, "signal %s of message %s has the factor 0: it will always be %g", s.Name, m.Name, s.Offset)
		}
		if s.Parent == nil {
			if old := plain[s.Name]; old != nil {
				p.problem(s.Pos, "message %s has a second signal %s (the first is in line %d, and counts); it is left out", m.Name, s.Name, old.Pos.Line)
				continue
			}
			plain[s.Name] = s
		}
		kept = append(kept, s)
	}
	m.Signals = kept
	p.overlaps(m)
}

// overlaps reports signals that are always sent and share bits.
func (p *parser) overlaps(m *Message) {
	owner := make(map[int]*Signal)
	for _, s := range m.Signals {
		if s.Parent != nil {
			continue
		}
		for i := range s.Length {
			bit := s.bit(i)
			if o := owner[bit]; o != nil {
				p.problem(s.Pos, "signals %s and %s of message %s share bit %d", o.Name, s.Name, m.Name, bit)
				break
			}
			owner[bit] = s
		}
	}
}

// bit is the number of the i-th bit of a signal: from the least significant one
// with Intel order, from the most significant one with Motorola order.
func (s *Signal) bit(i int) int {
	if !s.BigEndian {
		return s.Start + i
	}
	b := s.msb() + i
	return 8*(b/8) + 7 - b%8
}
