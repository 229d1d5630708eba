package dbc

import (
	"encoding/binary"
)

// Limits of reassembly.
const (
	maxSessions = 1024 // transfers under way at a time; the oldest gives way
	maxJ1939    = 1785
	maxFast     = 223
	maxISOTP    = 4095
)

// Parameter groups of the J1939 transport protocol.
const (
	PGNTransportControl = 0xec00 // TP.CM
	PGNTransportData    = 0xeb00 // TP.DT
)

// Frame is one frame as a Reassembler sees it.
type Frame struct {
	ID     uint32
	Data   []byte
	Record int64 // ordinal in its object, given back with a transfer
	Time   int64
}

// Progress says what became of a frame.
type Progress uint8

const (
	// Alone: the frame is part of no transfer.
	Alone Progress = iota
	// Taken: the frame was kept, or told how a transfer goes on.
	Taken
	// Complete: the frame ended a transfer.
	Complete
)

// Transfer is a payload that was sent in several frames. It is valid until the
// next call.
type Transfer struct {
	Payload []byte
	Frames  int   // that it was made of, the last one included
	Began   int64 // Time of the first
	// PGN and Destination are those the transfer speaks of (J1939).
	PGN         uint32
	Destination uint8
}

// Reassembler joins frames of one bus. Its zero value is ready. Memory is
// bounded by 1024 transfers under way.
type Reassembler struct {
	sessions map[sessionKey]*session
	order    []sessionKey // in which sessions began, with some that have ended
	done     Transfer
	buf      []byte
	spare    []*session
	broken   []Broken
}

// Broken is a transfer that never became complete.
type Broken struct {
	Why     string
	Records []int64 // of its frames
}

type sessionKey struct {
	kind byte // 'j' J1939 transport, 'n' fast packet, 'i' ISO-TP
	a, b uint32
}

type session struct {
	want    int
	next    int // sequence number expected
	packets int
	pgn     uint32
	began   int64
	buf     []byte
	records []int64
}

// Broken returns the transfers that failed since the last call. The slice is
// valid until the next call of any method.
func (r *Reassembler) Broken() []Broken {
	b := r.broken
	r.broken = r.broken[:0]
	return b
}

// End breaks off all transfers under way: nothing more comes.
func (r *Reassembler) End() {
	for _, k := range r.order {
		r.abandon(k, "the recording ends before its last frame")
	}
	r.order = nil
}

func (r *Reassembler) begin(k sessionKey, want int, f Frame) *session {
	r.abandon(k, "another transfer began before its last frame")
	if r.sessions == nil {
		r.sessions = make(map[sessionKey]*session)
	}
	for len(r.order) >= maxSessions {
		old := r.order[0]
		r.order = r.order[1:]
		r.abandon(old, "too many transfers are under way")
	}
	var s *session
	if n := len(r.spare); n > 0 {
		s, r.spare = r.spare[n-1], r.spare[:n-1]
	} else {
		s = &session{}
	}
	*s = session{want: want, next: 1, began: f.Time, buf: s.buf[:0], records: append(s.records[:0], f.Record)}
	r.sessions[k] = s
	r.order = append(r.order, k)
	return s
}

// forget ends a session and keeps its memory.
func (r *Reassembler) forget(k sessionKey, s *session) {
	delete(r.sessions, k)
	for i := range r.order {
		if r.order[i] == k {
			r.order = append(r.order[:i], r.order[i+1:]...)
			break
		}
	}
	if len(r.spare) < 64 {
		r.spare = append(r.spare, s)
	}
}

func (r *Reassembler) abandon(k sessionKey, why string) {
	s := r.sessions[k]
	if s == nil {
		return
	}
	delete(r.sessions, k)
	for i := range r.order {
		if r.order[i] == k {
			r.order = append(r.order[:i:i], r.order[i+1:]...)
			break
		}
	}
	r.broken = append(r.broken, Broken{why, s.records})
}

func (r *Reassembler) complete(k sessionKey, s *session) Progress {
	r.done = Transfer{Payload: s.buf[:s.want], Frames: len(s.records), Began: s.began, PGN: s.pgn}
	r.forget(k, s)
	return Complete
}

// Done is the transfer that the last call completed.
func (r *Reassembler) Done() Transfer { return r.done }

// Transport takes a TP.CM or TP.DT frame (SAE J1939-21, 5.10).
func (r *Reassembler) Transport(f Frame) Progress {
	g := GroupOf(f.ID)
	key := sessionKey{'j', uint32(g.Source), uint32(g.Destination)}
	switch g.PGN {
	case PGNTransportControl:
		if len(f.Data) < 8 {
			return Alone
		}
		return r.control(f, g, key)
	case PGNTransportData:
		s := r.sessions[key]
		if s == nil || len(f.Data) < 2 {
			return Alone
		}
		s.records = append(s.records, f.Record)
		if int(f.Data[0]) != s.next {
			r.abandon(key, "a frame of it is missing")
			return Taken
		}
		s.next++
		s.buf = append(s.buf, f.Data[1:min(len(f.Data), 8)]...)
		if s.next <= s.packets {
			return Taken
		}
		if len(s.buf) < s.want {
			r.abandon(key, "its frames are too short")
			return Taken
		}
		p := r.complete(key, s)
		r.done.Destination = g.Destination
		return p
	}
	return Alone
}

// control takes a TP.CM frame of eight bytes.
func (r *Reassembler) control(f Frame, g Group, key sessionKey) Progress {
	const (
		rts   = 16
		cts   = 17
		ack   = 19
		bam   = 32
		abort = 255
	)
	d := f.Data
	back := sessionKey{'j', uint32(g.Destination), uint32(g.Source)} // answers come from the receiver
	switch d[0] {
	case rts, bam:
		size, packets := int(binary.LittleEndian.Uint16(d[1:])), int(d[3])
		if size < 9 || size > maxJ1939 || packets != (size+6)/7 {
			return Alone
		}
		s := r.begin(key, size, f)
		s.packets = packets
		s.pgn = uint32(d[5]) | uint32(d[6])<<8 | uint32(d[7]&3)<<16
		return Taken
	case cts:
		s := r.sessions[back]
		if s == nil {
			return Alone
		}
		s.records = append(s.records, f.Record)
		// The receiver may ask for packets again.
		if next := int(d[2]); d[1] > 0 && next >= 1 && next < s.next {
			s.next = next
			s.buf = s.buf[:min(len(s.buf), 7*(next-1))]
		}
		if len(s.records) > 4*256 {
			r.abandon(back, "it is repeated without end")
		}
		return Taken
	case ack:
		if s := r.sessions[back]; s != nil {
			s.records = append(s.records, f.Record)
			r.abandon(back, "it was acknowledged before its last frame")
			return Taken
		}
	case abort:
		for _, k := range []sessionKey{key, back} {
			if s := r.sessions[k]; s != nil {
				s.records = append(s.records, f.Record)
				r.abandon(k, "it was aborted")
				return Taken
			}
		}
	}
	return Alone
}

// FastPacket takes a frame of a parameter group that NMEA 2000 sends as fast
// packets: three bits of sequence, five of frame number, then the length and six bytes,
// or seven bytes.
func (r *Reassembler) FastPacket(f Frame) Progress {
	if len(f.Data) < 2 {
		return Alone
	}
	g := GroupOf(f.ID)
	key := sessionKey{'n', f.ID & 0x3ffffff, uint32(f.Data[0] >> 5)}
	number := int(f.Data[0] & 0x1f)
	if number == 0 {
		size := int(f.Data[1])
		if size == 0 || size > maxFast || len(f.Data) < 8 {
			return Alone
		}
		s := r.begin(key, size, f)
		s.pgn = g.PGN
		s.buf = append(s.buf, f.Data[2:8]...)
		if size <= 6 {
			return r.complete(key, s)
		}
		return Taken
	}
	s := r.sessions[key]
	if s == nil {
		return Alone
	}
	s.records = append(s.records, f.Record)
	if number != s.next {
		r.abandon(key, "a frame of it is missing")
		return Taken
	}
	s.next++
	s.buf = append(s.buf, f.Data[1:min(len(f.Data), 8)]...)
	if len(s.buf) < s.want {
		return Taken
	}
	p := r.complete(key, s)
	r.done.Destination = g.Destination
	return p
}

// ISOTP takes a frame of a message sent by ISO 15765-2, normal addressing:
// single, first, consecutive frame or flow control.
func (r *Reassembler) ISOTP(f Frame, extended bool) Progress {
	d := f.Data
	if len(d) == 0 {
		return Alone
	}
	key := sessionKey{kind: 'i', a: f.ID}
	if extended {
		key.b = 1
	}
	switch d[0] >> 4 {
	case 0:
		size, at := int(d[0]&15), 1
		if size == 0 && len(d) > 8 {
			size, at = int(d[1]), 2
		}
		if size == 0 || at+size > len(d) {
			return Alone
		}
		r.abandon(key, "another transfer began before its last frame")
		r.buf = append(r.buf[:0], d[at:at+size]...)
		r.done = Transfer{Payload: r.buf, Frames: 1, Began: f.Time}
		return Complete
	case 1:
		if len(d) < 8 {
			return Alone
		}
		size := int(d[0]&15)<<8 | int(d[1])
		if size < 8 || size > maxISOTP { // 0: a length of 32 bits follows
			return Alone
		}
		s := r.begin(key, size, f)
		s.buf = append(s.buf, d[2:]...)
		if len(s.buf) >= size {
			return r.complete(key, s)
		}
		return Taken
	case 2:
		s := r.sessions[key]
		if s == nil {
			return Alone
		}
		s.records = append(s.records, f.Record)
		if int(d[0]&15) != s.next&15 || len(d) < 2 {
			r.abandon(key, "a frame of it is missing")
			return Taken
		}
		s.next++
		s.buf = append(s.buf, d[1:]...)
		if len(s.buf) < s.want {
			return Taken
		}
		return r.complete(key, s)
	case 3:
		if s := r.sessions[key]; s != nil {
			s.records = append(s.records, f.Record)
			if len(s.records) > 2*maxISOTP {
				r.abandon(key, "it is repeated without end")
			}
			return Taken
		}
	}
	return Alone
}

// Announces reports whether the frame is a TP.CM that begins a transfer.
func (f Frame) Announces() bool {
	return GroupOf(f.ID).PGN == PGNTransportControl && len(f.Data) >= 8 && (f.Data[0] == 16 || f.Data[0] == 32)
}

// Announced is the identifier of the group that a TP.CM is about to send, as if
// it fitted into one frame of the sender.
func (f Frame) Announced() uint32 {
	pgn := uint32(f.Data[5]) | uint32(f.Data[6])<<8 | uint32(f.Data[7]&3)<<16
	id := f.ID&(7<<26) | pgn<<8 | f.ID&0xff
	if GroupOf(id).Directed {
		id = id&^0xff00 | f.ID&0xff00
	}
	return id
}

// Replace breaks off a transfer that another one, of no interest, replaces.
func (r *Reassembler) Replace(f Frame) {
	g := GroupOf(f.ID)
	r.abandon(sessionKey{'j', uint32(g.Source), uint32(g.Destination)}, "another transfer began before its last frame")
}
