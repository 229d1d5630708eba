package dbc

import (
	"github.com/drivemill/drivemill/pipeline"
)

// Database is a parsed DBC file. It is immutable.
type Database struct {
	// Name is the file's name as given to Parse, used in positions.
	Name     string
	Version  string
	Encoding string // utf-8 or windows-1252
	Nodes    []string
	Messages []*Message // in the order of the file
	// Comment and Attributes are those of the network.
	Comment    string
	Attributes map[string]string
	// Problems are mistakes in the file, each with its place, in the order of
	// the file. What they speak of is left out or used as they say.
	Problems []*pipeline.Issue
}

// Protocol is a higher layer that decides how frames find their message.
type Protocol uint8

const (
	// PlainCAN messages are found by their identifier.
	PlainCAN Protocol = iota
	// J1939 messages are found by parameter group number.
	J1939
	// NMEA2000 messages are found by parameter group number, and those longer
	// than a frame come as fast packets.
	NMEA2000
)

func (p Protocol) String() string { return [...]string{"can", "j1939", "nmea2000"}[p] }

// Message is a BO_ statement.
type Message struct {
	ID       uint32 // 11 or 29 bits
	Extended bool   // 29-bit identifier
	Name     string
	Length   int // bytes
	Senders  []string
	Comment  string
	// Attributes holds what the file sets for the message; defaults are not in
	// it. Values of enumerations are their texts.
	Attributes map[string]string
	FD         bool
	Protocol   Protocol
	// ISOTP says that the message is sent by ISO 15765-2: it names a flow control
	// frame, or is longer than a frame of its bus can be. A message of up to 64
	// bytes in a database that says nothing of CAN FD may all the same come in
	// one frame.
	ISOTP   bool
	Signals []*Signal // in the order of the file
	Pos     pipeline.Pos
}

// Kind is how the raw bits of a signal are to be read.
type Kind uint8

const (
	Integer Kind = iota
	Float16
	Float32
	Float64
)

// Signal is an SG_ statement. Signals of one name in a message are layouts of
// one value that are sent for different values of a switch.
type Signal struct {
	Name      string
	Start     int // as in the file
	Length    int // bits, 1 to 64
	BigEndian bool
	Signed    bool
	Kind      Kind
	Factor    float64
	Offset    float64
	Min, Max  float64 // both 0: not given
	Unit      string
	Receivers []string
	Comment   string
	// Attributes holds what the file sets for the signal.
	Attributes map[string]string
	Labels     []Label
	// Switch: other signals depend on the raw value of this one.
	Switch bool
	// Parent is the switch this signal depends on, nil if it is always sent.
	Parent *Signal
	// Ranges are the raw values of Parent with which it is sent.
	Ranges []Range
	Pos    pipeline.Pos

	muxed    bool // marked m<n>
	muxValue uint64
}

// Range is a closed interval of raw values.
type Range struct{ From, To uint64 }

// Label names one raw value.
type Label struct {
	// Raw is the value; of an unsigned signal it is the bits of a uint64.
	Raw  int64
	Text string
}

// FirstByte and EndByte tell which bytes of the payload hold a signal: those
// from FirstByte up to but not including EndByte.
func (s *Signal) FirstByte() int { return s.Start / 8 }

// EndByte is the number of payload bytes needed to read the signal.
func (s *Signal) EndByte() int {
	if s.BigEndian {
		return (s.msb() + s.Length + 7) / 8
	}
	return (s.Start + s.Length + 7) / 8
}

// msb counts bits from the most significant one of the first byte to the one
// that a Motorola signal starts with.
func (s *Signal) msb() int { return 8*(s.Start/8) + 7 - s.Start%8 }

// SignalNamed returns the first signal of that name, or nil.
func (m *Message) SignalNamed(name string) *Signal {
	for _, s := range m.Signals {
		if s.Name == name {
			return s
		}
	}
	return nil
}
