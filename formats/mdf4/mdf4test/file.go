package mdf4test

import (
	"encoding/binary"
	"math"

	"github.com/drivemill/drivemill/formats/mdf4/conversion"
)

// Values of cn_type.
const (
	Fixed         = 0
	VLSD          = 1
	Master        = 2
	VirtualMaster = 3
	SyncStream    = 4
	MLSD          = 5
	VirtualData   = 6
	VLSC          = 7
)

// Values of cn_sync_type.
const (
	SyncTime     = 1
	SyncAngle    = 2
	SyncDistance = 3
	SyncIndex    = 4
)

// Values of cn_data_type.
const (
	UnsignedLE  = 0
	UnsignedBE  = 1
	SignedLE    = 2
	SignedBE    = 3
	FloatLE     = 4
	FloatBE     = 5
	Latin1      = 6
	UTF8        = 7
	UTF16LE     = 8
	UTF16BE     = 9
	ByteArray   = 10
	MIMESample  = 11
	MIMEStream  = 12
	CANopenDate = 13
	CANopenTime = 14
	ComplexLE   = 15
	ComplexBE   = 16
	StringBOM   = 17
)

// Flags of channels (cn_flags) and groups (cg_flags).
const (
	AllInvalid        = 1 << 0
	InvalidationValid = 1 << 1
	BusEvent          = 1 << 10
	DefaultX          = 1 << 12

	GroupVLSD         = 1 << 0
	GroupBusEvent     = 1 << 1
	GroupPlainBus     = 1 << 2
	GroupRemoteMaster = 1 << 3
	GroupVLSC         = 1 << 5
)

// Flags of unfinalised files (id_unfin_flags). Bytes leaves undone what they say.
const (
	UnfinCycles     = 1 << 0 // cycle counts are 0
	UnfinReductions = 1 << 1 // cycle counts of sample reductions are 0
	UnfinLastDT     = 1 << 2 // the last DT has the length of its header
	UnfinVLSDBytes  = 1 << 5 // VLSD groups have a size of 0
)

// File is a whole file. The zero value is an empty recording of version 4.10.
type File struct {
	Version     uint16 // 400 to 430; 0 means 410
	Unfinalised uint16 // flags; other than 0 makes the file start with UnFinMF
	StartNS     uint64
	TZMinutes   int16
	DSTMinutes  int16
	TimeFlags   uint8
	Comment     string // of the header: text, or XML where it starts with <
	Groups      []*DataGroup
	Attachments []*Attachment
	Events      []*Event
}

// DataGroup is a DG block: sorted where it has one group and no record ids.
type DataGroup struct {
	IDSize  uint8 // bytes of record ids: 0, 1, 2, 4, 8
	Groups  []*Group
	Storage Storage
	// Order lists the group of each record of the stream; nil takes one record
	// of each group in turn.
	Order []int
	// Stream takes the place of the records in the file, where not nil.
	Stream []byte
	// NoData makes the data link NIL.
	NoData bool
}

// Group is a CG block with its records.
type Group struct {
	ID         uint64
	Name       string
	Source     *Source
	Comment    string
	Flags      uint16
	Separator  uint16 // cg_path_separator
	DataBytes  uint32 // 0: the length of the first record, less InvalBytes
	InvalBytes uint32
	Channels   []*Channel
	// Records are data bytes, then invalidation bytes. Those of VLSD groups are
	// payloads, without their length.
	Records    [][]byte
	Cycles     *uint64 // claimed; nil: the number of records
	Master     *Group  // of GroupRemoteMaster
	Reductions []*Reduction
}

// Source is an SI block.
type Source struct {
	Name, Path string
	Type, Bus  uint8
	Flags      uint8
}

// Channel is a CN block.
type Channel struct {
	Name, Unit, Comment string
	Type, Sync, Data    uint8
	Byte                uint32 // offset in the record
	Bit                 uint8  // offset in that byte
	Bits                uint32
	Flags               uint32
	InvalBit            uint32
	Source              *Source
	Conversion          *conversion.Block
	Members             []*Channel // composition: structure
	Array               *Array     // composition: array
	Dynamic             *Block     // composition of 4.30: DS, CL, CV, CU
	Signal              *Signal    // data of VLSD and VLSC channels
	Group               *Group     // VLSD or VLSC group instead of Signal
	Length              *Channel   // of MLSD: the channel that holds the bytes used
	Size                *Channel   // of VLSC: the channel that holds the size
	Stream              *Attachment
	Attachments         []*Attachment
	DefaultX            [3]any // *DataGroup, *Group, *Channel, with flag DefaultX
	Limits              [6]float64
	Precision           uint8
	Alignment           uint8
}

// Signal is signal data: SD with lengths, or VD without.
type Signal struct {
	Bytes   []byte
	Storage Storage
	Plain   bool // VD instead of SD
}

// Array is a CA block.
type Array struct {
	Type, Storage uint8
	Flags         uint32
	ByteBase      int32
	InvalBase     uint32
	Dims          []uint64
	Links         []any     // after composition and data, as the flags say
	Axis          []float64 // fixed axis values
	Cycles        []uint64
	Data          []*Signal // of elements in storage 2; written as DT
	Members       []*Channel
	Array         *Array
}

// Reduction is an SR block.
type Reduction struct {
	Interval float64
	Sync     uint8
	Flags    uint8
	Cycles   uint64
	Bytes    []byte // mean, minimum and maximum section of each interval
	Storage  Storage
}

// Attachment is an AT block.
type Attachment struct {
	Name, MIME string
	Flags      uint16
	ZipType    uint8
	MD5        [16]byte
	Size       uint64 // of the original
	Bytes      []byte // embedded
}

// Event is an EV block without scopes.
type Event struct {
	Name                     string
	Type, Sync, Range, Cause uint8
	Flags                    uint8
	Base                     int64
	Factor                   float64
}

// Block is any block. Links are nil (NIL), *Channel, *Group, *DataGroup,
// *Attachment or *Block.
type Block struct {
	ID    string
	Links []any
	Data  []byte
}

// LE returns the little-endian bytes of numbers of any size, and of []byte and
// strings as they are.
func LE(values ...any) []byte { return put(binary.LittleEndian, values) }

// BE returns big-endian bytes.
func BE(values ...any) []byte { return put(binary.BigEndian, values) }

func put(order binary.AppendByteOrder, values []any) []byte {
	var b []byte
	for _, v := range values {
		switch v := v.(type) {
		case []byte:
			b = append(b, v...)
		case string:
			b = append(b, v...)
		case uint8:
			b = append(b, v)
		case int8:
			b = append(b, byte(v))
		case uint16:
			b = order.AppendUint16(b, v)
		case int16:
			b = order.AppendUint16(b, uint16(v))
		case uint32:
			b = order.AppendUint32(b, v)
		case int32:
			b = order.AppendUint32(b, uint32(v))
		case uint64:
			b = order.AppendUint64(b, v)
		case int64:
			b = order.AppendUint64(b, uint64(v))
		case float32:
			b = order.AppendUint32(b, math.Float32bits(v))
		case float64:
			b = order.AppendUint64(b, math.Float64bits(v))
		default:
			panic("mdf4test: bytes of numbers, strings and byte slices only")
		}
	}
	return b
}

// PutBits writes the lowest bits of value into a record, as a channel of that
// byte offset, bit offset and size reads them; other bits stay. Big-endian
// values lie in as many bytes as offset and size need, and the bit offset
// counts from the lowest bit of the last of them.
func PutBits(record []byte, offset uint32, bit uint8, bits uint32, value uint64, bigEndian bool) {
	n := (uint32(bit) + bits + 7) / 8
	for i := range bits {
		at := i + uint32(bit)
		k := offset + at/8
		if bigEndian {
			k = offset + n - 1 - at/8
		}
		record[k] &^= 1 << (at % 8)
		record[k] |= byte(value>>i&1) << (at % 8)
	}
}

// Texts makes the signal data of VLSD values and the offset of each.
func Texts(values ...string) (sd []byte, offsets []uint64) {
	for _, v := range values {
		offsets = append(offsets, uint64(len(sd)))
		sd = binary.LittleEndian.AppendUint32(sd, uint32(len(v)))
		sd = append(sd, v...)
	}
	return sd, offsets
}

// Count is for Group.Cycles.
func Count(n uint64) *uint64 { return &n }
