package mcap

import (
	"encoding/binary"
	"fmt"

	"github.com/drivemill/drivemill/pipeline"
)

// Magic begins and ends every file. Byte 5 is the major version.
const Magic = "\x89MCAP0\r\n"

// Op is the opcode of a record.
type Op byte

// The opcodes of the format. From 0x80 on they are private to applications.
const (
	OpHeader          Op = 0x01
	OpFooter          Op = 0x02
	OpSchema          Op = 0x03
	OpChannel         Op = 0x04
	OpMessage         Op = 0x05
	OpChunk           Op = 0x06
	OpMessageIndex    Op = 0x07
	OpChunkIndex      Op = 0x08
	OpAttachment      Op = 0x09
	OpAttachmentIndex Op = 0x0A
	OpStatistics      Op = 0x0B
	OpMetadata        Op = 0x0C
	OpMetadataIndex   Op = 0x0D
	OpSummaryOffset   Op = 0x0E
	OpDataEnd         Op = 0x0F
)

var opNames = [...]string{
	OpHeader: "Header", OpFooter: "Footer", OpSchema: "Schema", OpChannel: "Channel", OpMessage: "Message",
	OpChunk: "Chunk", OpMessageIndex: "MessageIndex", OpChunkIndex: "ChunkIndex", OpAttachment: "Attachment",
	OpAttachmentIndex: "AttachmentIndex", OpStatistics: "Statistics", OpMetadata: "Metadata",
	OpMetadataIndex: "MetadataIndex", OpSummaryOffset: "SummaryOffset", OpDataEnd: "DataEnd",
}

func (o Op) String() string {
	if int(o) < len(opNames) && opNames[o] != "" {
		return opNames[o]
	}
	return fmt.Sprintf("record 0x%02X", byte(o))
}

// frameLen is the size of opcode and length in front of each record.
const frameLen = 9

// footerLen is the size of the Footer with its frame and the magic behind it.
const footerLen = frameLen + 20 + len(Magic)

// Header is the first record of a file.
type Header struct{ Profile, Library string }

// Footer is the last record of a file. Starts are absolute offsets, 0 for none.
type Footer struct {
	SummaryStart       uint64
	SummaryOffsetStart uint64
	SummaryCRC         uint32
}

// Schema defines messages.
type Schema struct {
	ID       uint16
	Name     string
	Encoding string
	Data     []byte
}

// Channel is one stream of messages. SchemaID 0 stands for no schema.
type Channel struct {
	ID              uint16
	SchemaID        uint16
	Topic           string
	MessageEncoding string
	Metadata        map[string]string
}

// Message is one message. Times are nanoseconds.
type Message struct {
	ChannelID   uint16
	Sequence    uint32
	LogTime     uint64
	PublishTime uint64
	Data        []byte
}

// Chunk is the header of a chunk, with its records as they are stored.
type Chunk struct {
	StartTime        uint64
	EndTime          uint64
	UncompressedSize uint64
	UncompressedCRC  uint32
	Compression      string
	Size             uint64 // of Records, as claimed
	Records          []byte
}

// MessageIndex tells where the messages of a channel lie in a chunk.
type MessageIndex struct {
	ChannelID uint16
	Entries   []MessageIndexEntry
}

// MessageIndexEntry is the place of one message in the unpacked chunk.
type MessageIndexEntry struct{ LogTime, Offset uint64 }

// ChunkIndex tells where a chunk lies and what is in it.
type ChunkIndex struct {
	StartTime           uint64
	EndTime             uint64
	Offset              uint64 // of the chunk record
	Length              uint64 // of the chunk record with its frame
	MessageIndexOffsets []ChannelOffset
	MessageIndexLength  uint64
	Compression         string
	CompressedSize      uint64
	UncompressedSize    uint64
}

// ChannelOffset is where the MessageIndex of a channel lies.
type ChannelOffset struct {
	ChannelID uint16
	Offset    uint64
}

// Attachment is a file inside the file, without its data.
type Attachment struct {
	LogTime    uint64
	CreateTime uint64
	Name       string
	MediaType  string
	DataSize   uint64
}

// AttachmentIndex tells where an attachment lies.
type AttachmentIndex struct {
	Offset uint64
	Length uint64 // of the record with its frame
	Attachment
}

// Statistics sums up a file. An empty ChannelMessageCounts says nothing.
type Statistics struct {
	MessageCount         uint64
	SchemaCount          uint16
	ChannelCount         uint32
	AttachmentCount      uint32
	MetadataCount        uint32
	ChunkCount           uint32
	StartTime            uint64
	EndTime              uint64
	ChannelMessageCounts map[uint16]uint64
}

// Metadata is a named map.
type Metadata struct {
	Name   string
	Values map[string]string
}

// MetadataIndex tells where a metadata record lies.
type MetadataIndex struct {
	Offset uint64
	Length uint64
	Name   string
}

// SummaryOffset tells where the records of one opcode lie in the summary.
type SummaryOffset struct {
	Op     Op
	Start  uint64
	Length uint64
}

// DataEnd ends the data section.
type DataEnd struct{ DataCRC uint32 }

// cursor takes fields off the content of a record. Once a field does not fit,
// all further ones are zero and ok is false.
type cursor struct {
	b   []byte
	off int
	bad bool
}

func (c *cursor) take(n uint64) []byte {
	if c.bad || n > uint64(len(c.b)-c.off) {
		c.bad = true
		return nil
	}
	s := c.b[c.off : c.off+int(n)]
	c.off += int(n)
	return s
}

func (c *cursor) u16() uint16 {
	if s := c.take(2); s != nil {
		return binary.LittleEndian.Uint16(s)
	}
	return 0
}

func (c *cursor) u32() uint32 {
	if s := c.take(4); s != nil {
		return binary.LittleEndian.Uint32(s)
	}
	return 0
}

func (c *cursor) u64() uint64 {
	if s := c.take(8); s != nil {
		return binary.LittleEndian.Uint64(s)
	}
	return 0
}

func (c *cursor) text() string { return string(c.take(uint64(c.u32()))) }

// sub returns a cursor over a part that is preceded by its length in bytes, as
// arrays and maps are.
func (c *cursor) sub() cursor {
	b := c.take(uint64(c.u32()))
	return cursor{b: b, bad: c.bad}
}

func (c *cursor) texts() map[string]string {
	s := c.sub()
	m := make(map[string]string)
	for s.off < len(s.b) && !s.bad {
		k := s.text()
		v := s.text()
		if !s.bad {
			m[k] = v
		}
	}
	c.bad = c.bad || s.bad
	return m
}

func (c *cursor) err(op Op) error {
	if !c.bad {
		return nil
	}
	return fmt.Errorf("%s of %d bytes is shorter than its fields: %w", op, len(c.b), pipeline.ErrCorrupt)
}

// ParseHeader reads the content of a Header.
func ParseHeader(b []byte) (Header, error) {
	c := cursor{b: b}
	h := Header{Profile: c.text(), Library: c.text()}
	return h, c.err(OpHeader)
}

// ParseFooter reads the content of a Footer.
func ParseFooter(b []byte) (Footer, error) {
	c := cursor{b: b}
	f := Footer{SummaryStart: c.u64(), SummaryOffsetStart: c.u64(), SummaryCRC: c.u32()}
	return f, c.err(OpFooter)
}

// ParseSchema reads the content of a Schema. Data is part of b.
func ParseSchema(b []byte) (Schema, error) {
	c := cursor{b: b}
	s := Schema{ID: c.u16(), Name: c.text(), Encoding: c.text()}
	s.Data = c.take(uint64(c.u32()))
	return s, c.err(OpSchema)
}

// ParseChannel reads the content of a Channel.
func ParseChannel(b []byte) (Channel, error) {
	c := cursor{b: b}
	ch := Channel{ID: c.u16(), SchemaID: c.u16(), Topic: c.text(), MessageEncoding: c.text(), Metadata: c.texts()}
	return ch, c.err(OpChannel)
}

// messageHead is the size of the fields of a Message in front of its data.
const messageHead = 22

// ParseMessage reads the content of a Message. Data is part of b.
func ParseMessage(b []byte) (Message, error) {
	c := cursor{b: b}
	m := Message{ChannelID: c.u16(), Sequence: c.u32(), LogTime: c.u64(), PublishTime: c.u64()}
	m.Data = b[c.off:]
	return m, c.err(OpMessage)
}

// ParseChunk reads the content of a Chunk. Records is part of b, and shorter
// than Size when b is not whole: that alone is no error.
func ParseChunk(b []byte) (Chunk, error) {
	c := cursor{b: b}
	k := Chunk{StartTime: c.u64(), EndTime: c.u64(), UncompressedSize: c.u64(), UncompressedCRC: c.u32(), Compression: c.text(), Size: c.u64()}
	if err := c.err(OpChunk); err != nil {
		return k, err
	}
	k.Records = c.take(min(k.Size, uint64(len(b)-c.off)))
	return k, nil
}

// ParseMessageIndex reads the content of a MessageIndex.
func ParseMessageIndex(b []byte) (MessageIndex, error) {
	c := cursor{b: b}
	m := MessageIndex{ChannelID: c.u16()}
	s := c.sub()
	m.Entries = make([]MessageIndexEntry, 0, len(s.b)/16)
	for s.off < len(s.b) && !s.bad {
		m.Entries = append(m.Entries, MessageIndexEntry{s.u64(), s.u64()})
	}
	c.bad = c.bad || s.bad
	return m, c.err(OpMessageIndex)
}

// ParseChunkIndex reads the content of a ChunkIndex.
func ParseChunkIndex(b []byte) (ChunkIndex, error) {
	c := cursor{b: b}
	x := ChunkIndex{StartTime: c.u64(), EndTime: c.u64(), Offset: c.u64(), Length: c.u64()}
	s := c.sub()
	x.MessageIndexOffsets = make([]ChannelOffset, 0, len(s.b)/10)
	for s.off < len(s.b) && !s.bad {
		x.MessageIndexOffsets = append(x.MessageIndexOffsets, ChannelOffset{s.u16(), s.u64()})
	}
	c.bad = c.bad || s.bad
	x.MessageIndexLength, x.Compression, x.CompressedSize, x.UncompressedSize = c.u64(), c.text(), c.u64(), c.u64()
	return x, c.err(OpChunkIndex)
}

// ParseAttachmentIndex reads the content of an AttachmentIndex.
func ParseAttachmentIndex(b []byte) (AttachmentIndex, error) {
	c := cursor{b: b}
	x := AttachmentIndex{Offset: c.u64(), Length: c.u64()}
	x.LogTime, x.CreateTime, x.DataSize, x.Name, x.MediaType = c.u64(), c.u64(), c.u64(), c.text(), c.text()
	return x, c.err(OpAttachmentIndex)
}

// ParseStatistics reads the content of a Statistics.
func ParseStatistics(b []byte) (Statistics, error) {
	c := cursor{b: b}
	st := Statistics{
		MessageCount: c.u64(), SchemaCount: c.u16(), ChannelCount: c.u32(), AttachmentCount: c.u32(),
		MetadataCount: c.u32(), ChunkCount: c.u32(), StartTime: c.u64(), EndTime: c.u64(),
	}
	s := c.sub()
	st.ChannelMessageCounts = make(map[uint16]uint64, len(s.b)/10)
	for s.off < len(s.b) && !s.bad {
		id, n := s.u16(), s.u64()
		st.ChannelMessageCounts[id] = n
	}
	c.bad = c.bad || s.bad
	return st, c.err(OpStatistics)
}

// ParseMetadata reads the content of a Metadata.
func ParseMetadata(b []byte) (Metadata, error) {
	c := cursor{b: b}
	m := Metadata{Name: c.text(), Values: c.texts()}
	return m, c.err(OpMetadata)
}

// ParseMetadataIndex reads the content of a MetadataIndex.
func ParseMetadataIndex(b []byte) (MetadataIndex, error) {
	c := cursor{b: b}
	x := MetadataIndex{Offset: c.u64(), Length: c.u64(), Name: c.text()}
	return x, c.err(OpMetadataIndex)
}

// ParseSummaryOffset reads the content of a SummaryOffset.
func ParseSummaryOffset(b []byte) (SummaryOffset, error) {
	c := cursor{b: b}
	x := SummaryOffset{}
	if op := c.take(1); op != nil {
		x.Op = Op(op[0])
	}
	x.Start, x.Length = c.u64(), c.u64()
	return x, c.err(OpSummaryOffset)
}

// ParseDataEnd reads the content of a DataEnd.
func ParseDataEnd(b []byte) (DataEnd, error) {
	c := cursor{b: b}
	d := DataEnd{DataCRC: c.u32()}
	return d, c.err(OpDataEnd)
}
