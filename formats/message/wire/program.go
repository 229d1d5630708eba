package wire

import (
	"sync"

	"github.com/drivemill/drivemill/pipeline/column"
)

// Dialect is how values are laid out.
type Dialect struct {
	// CDR: messages begin with an encapsulation header of 4 bytes, values are
	// aligned, strings end in NUL, messages without fields take one byte,
	// seconds are signed. Otherwise the rules of ROS 1 hold.
	CDR bool
	// XCDR2 is the second version of CDR: nothing is aligned to more than 4
	// bytes, and lists of anything but primitives have a delimiter header.
	XCDR2     bool
	BigEndian bool
	// Wide is the layout of wstring.
	Wide Wide
}

// Wide is one of the layouts of wstring that CDR writers use.
type Wide uint8

const (
	// Wide2 counts units of 2 bytes: Fast-CDR from version 2 on.
	Wide2 Wide = iota
	// Wide4 counts units of 4 bytes: older Fast-CDR, Cyclone DDS on Linux.
	Wide4
	// WideBytes counts bytes, in units of 2: XCDR2.
	WideBytes
	// WideLayouts is the number of layouts.
	WideLayouts
)

// headerSize is that of the CDR encapsulation header.
const headerSize = 4

// slack is how many bytes may follow the last field in CDR: writers pad
// messages to a multiple of 4, some with garbage.
const slack = 3

func (d Dialect) maxAlign() int {
	switch {
	case !d.CDR:
		return 1
	case d.XCDR2:
		return 4
	}
	return 8
}

type opcode uint8

const (
	opRun           opcode = iota // size bytes of fixed values
	opString                      // length, text
	opBytes                       // length, bytes
	opWide                        // length, wide text
	opStrings                     // count or n, texts
	opSeq                         // count, elements of size bytes
	opCount                       // count, elements of size bytes that hold nothing
	opLoop                        // count or n, elements by body
	opStride                      // count or n, elements of one run each
	opDelimited                   // bytes that follow, body
	opSkipDelimited               // bytes that follow
)

// op is one step of a program.
type op struct {
	code    opcode
	align   uint8 // what the position is aligned to first; 0, 1: nothing
	elem    uint8 // alignment of the elements of opSeq and opStride
	conv    conv  // of the elements of opSeq
	fixed   bool  // opLoop, opStride, opStrings: n elements, no count
	size    int   // bytes of a run or an element; opLoop: at least so many
	stride  int   // opStride: from one element to the next
	n       int
	slot    int32 // opRun, opStride: where the position is noted; -1: skip
	col     int32 // the column appended to; -1: skip
	elemCol int32 // opStrings: the column of the elements
	path    int32
	body    []op
	structs []int32 // struct columns with a row for each element
}

// conv is how a value becomes one of a column.
type conv uint8

const (
	convCopy conv = iota // bytes, swapped where the data is big-endian
	convBool
	convTime  // uint32 seconds, uint32 nanoseconds
	convSpan  // int32 seconds, int32 nanoseconds
	convTime2 // int32 seconds, uint32 nanoseconds
)

// value is a selected value, or array of values, inside a run.
type value struct {
	conv conv
	size uint8 // bytes per value
	bin  bool  // n bytes of a binary column
	n    int   // elements of a fixed array; 0: one value
	off  int   // in the run
	col  int32
}

// colRef finds a column: child index of the column parent, or index in the
// columns given to Append where parent is -1.
type colRef struct{ parent, index int32 }

// Program appends messages to columns. It is immutable but for a pool of
// scratch memory, so that many goroutines use one.
type Program struct {
	dialect Dialect
	ops     []op
	refs    []colRef  // all columns that are appended to, parents first
	slots   [][]value // the selected values of each run that is noted
	texts   []int32   // the columns of strings among refs
	paths   []string
	tops    int  // columns given to Append
	empty   bool // the type has no fields
	batch   int  // positions noted per run before they are gathered
	pool    sync.Pool
}

// frame is what one Append needs besides the program.
type frame struct {
	p      *Program
	cols   []*column.Column // as Program.refs
	notes  [][]uint32       // as Program.slots
	data   []byte           // the block
	msg    []byte           // the block up to the end of the message
	origin int              // from where positions are aligned
	be     bool
	marks  []mark // as Program.texts, where the rows of this call begin
	// careful: strings are held to be UTF-8 one by one.
	careful bool
	code    string // why the message failed
	at      int    // where
	path    int32
}

// mark is the end of a column of strings.
type mark struct{ values, bytes int }

func (p *Program) acquire(cols []*column.Column, data []byte) *frame {
	f, _ := p.pool.Get().(*frame)
	if f == nil {
		f = &frame{p: p, be: p.dialect.BigEndian}
		f.cols = make([]*column.Column, len(p.refs))
		f.notes = make([][]uint32, len(p.slots))
		f.marks = make([]mark, len(p.texts))
		mem := make([]uint32, p.batch*len(p.slots))
		for i := range f.notes {
			f.notes[i] = mem[i*p.batch : i*p.batch : (i+1)*p.batch]
		}
	}
	for i, r := range p.refs {
		if r.parent < 0 {
			f.cols[i] = cols[r.index]
		} else {
			f.cols[i] = f.cols[r.parent].Children[r.index]
		}
	}
	for i, col := range p.texts {
		f.marks[i] = mark{f.cols[col].N, len(f.cols[col].Data)}
	}
	f.data = data
	return f
}

func (p *Program) release(f *frame) {
	clear(f.cols)
	f.data, f.msg = nil, nil
	p.pool.Put(f)
}
