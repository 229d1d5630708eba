package mdf4test

import (
	"bytes"
	"compress/zlib"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// Lists that hold data blocks.
const (
	Single = iota // one block
	DL            // a list of blocks
	HL            // a header and a list
	LD            // a list of column-oriented data, with invalidation data beside
	Column        // one block of column-oriented data (DV)
)

// Values of Storage.Zip: what DZ blocks hold, one more than dz_zip_type.
const (
	Plain             = 0
	Deflate           = 1
	TransposedDeflate = 2
	Zstd              = 3
	TransposedZstd    = 4
	LZ4               = 5
	TransposedLZ4     = 6
	CustomZip         = 255
)

// Storage says how data is put into blocks. The zero value is one plain block.
type Storage struct {
	List int
	// Piece is the size of each block of a list: bytes, or samples where it is
	// column-oriented. 0 means one block for all.
	Piece int
	Zip   int
	// Columns is the zip parameter of transposed data; 0: the size of a record.
	Columns uint32
	// Equal sets the flag of equal lengths instead of a table of offsets.
	Equal bool
	// PerList is how many pieces a list holds before the next one follows; 0: all.
	PerList int
	// Guard wraps the outermost block in a GD of that version.
	Guard uint16
	// ByPiece stores an LD's links in pairs of data and invalidation data
	// instead of all data first.
	ByPiece bool
	// NILValid leaves out invalidation data in which no bit is set.
	NILValid bool
}

// contents is data on its way into blocks.
type contents struct {
	id     string // DT, SD, RD, VD
	data   []byte
	inval  []byte
	row    int // bytes of a record, for transposition and pieces of samples
	ibytes int
	Storage
}

// store writes c and returns the offset of its outermost block.
func (w *writer) store(c contents) int64 {
	at := w.list(c)
	if c.Guard > 0 {
		at = w.block("GD", []int64{at}, LE(c.Guard, make([]byte, 6)))
	}
	return at
}

func (w *writer) list(c contents) int64 {
	switch c.List {
	case Single:
		return w.piece(c, c.id, c.data, c.row)
	case Column:
		return w.piece(c, "DV", c.data, c.row)
	case LD:
		return w.columns(c)
	}
	size := c.Piece
	if size == 0 {
		size = max(1, len(c.data))
	}
	var links, offsets []int64
	for from := 0; from < len(c.data); from += size {
		links = append(links, w.piece(c, c.id, c.data[from:min(from+size, len(c.data))], c.row))
		offsets = append(offsets, int64(from))
	}
	per := c.PerList
	if per == 0 {
		per = max(1, len(links))
	}
	next := int64(0)
	for from := (len(links) - 1) / per * per; from >= 0; from -= per {
		to := min(from+per, len(links))
		data := LE(uint8(0), make([]byte, 3), uint32(to-from))
		if c.Equal {
			data = LE(uint8(1), make([]byte, 3), uint32(to-from), uint64(size))
		} else {
			for _, o := range offsets[from:to] {
				data = append(data, LE(o)...)
			}
		}
		next = w.block("DL", append([]int64{next}, links[from:to]...), data)
	}
	if c.List == HL {
		flags := uint16(0)
		if c.Equal {
			flags = 1
		}
		next = w.block("HL", []int64{next}, LE(flags, zipType(c.Zip), make([]byte, 5)))
	}
	return next
}

func zipType(zip int) uint8 {
	switch zip {
	case Plain:
		return 0
	case CustomZip:
		return 254
	}
	return uint8(zip - 1)
}

// columns writes an LD with pieces of samples.
func (w *writer) columns(c contents) int64 {
	samples := 0
	if c.row > 0 {
		samples = len(c.data) / c.row
	}
	size := c.Piece
	if size == 0 {
		size = max(1, samples)
	}
	var values, invalid []int64
	table := []byte{}
	for from := 0; from < samples; from += size {
		to := min(from+size, samples)
		values = append(values, w.piece(c, "DV", c.data[from*c.row:to*c.row], c.row))
		if c.ibytes > 0 {
			part := c.inval[from*c.ibytes : to*c.ibytes]
			if c.NILValid && len(bytes.Trim(part, "\x00")) == 0 {
				invalid = append(invalid, 0)
			} else {
				invalid = append(invalid, w.piece(c, "DI", part, c.ibytes))
			}
		}
		table = append(table, LE(uint64(from))...)
	}
	flags := uint32(0)
	if c.Equal {
		flags |= 1
		table = LE(uint64(size))
	}
	links := []int64{0}
	if c.ibytes > 0 {
		flags |= 1 << 31
	}
	if c.ByPiece && c.ibytes > 0 {
		for i := range values {
			links = append(links, values[i], invalid[i])
		}
	} else {
		links = append(append(links, values...), invalid...)
	}
	return w.block("LD", links, append(LE(flags, uint32(len(values))), table...))
}

// piece writes one data block, plain or zipped.
func (w *writer) piece(c contents, id string, data []byte, row int) int64 {
	if c.Zip == Plain {
		return w.block(id, nil, data)
	}
	cols := c.Columns
	packed := data
	switch c.Zip {
	case TransposedDeflate, TransposedZstd, TransposedLZ4:
		if cols == 0 {
			cols = uint32(max(1, row))
		}
		packed = transpose(data, int(cols))
	default:
		cols = 0
	}
	packed = pack(c.Zip, packed)
	return w.block("DZ", nil, LE(id, zipType(c.Zip), uint8(0), cols, uint64(len(data)), uint64(len(packed)), packed))
}

// transpose puts the bytes of rows of cols bytes column by column; what is left
// over stays behind them.
func transpose(data []byte, cols int) []byte {
	rows := len(data) / cols
	out := make([]byte, 0, len(data))
	for c := range cols {
		for r := range rows {
			out = append(out, data[r*cols+c])
		}
	}
	return append(out, data[rows*cols:]...)
}

func pack(zip int, data []byte) []byte {
	var buf bytes.Buffer
	switch zip {
	case Deflate, TransposedDeflate:
		z := zlib.NewWriter(&buf)
		must(z.Write(data))
		must(0, z.Close())
	case Zstd, TransposedZstd:
		z, err := zstd.NewWriter(&buf, zstd.WithEncoderConcurrency(1))
		must(0, err)
		must(z.Write(data))
		must(0, z.Close())
	case LZ4, TransposedLZ4:
		z := lz4.NewWriter(&buf)
		must(z.Write(data))
		must(0, z.Close())
	default:
		return data
	}
	return buf.Bytes()
}

func must(_ int, err error) {
	if err != nil {
		panic(err)
	}
}
