package mdf4

// Limits bound what a file can make the reader hold in memory. A zero field
// stands for its default.
type Limits struct {
	// Unpacked is the largest size of a compressed block after unpacking.
	// Default 256 MiB; the standard recommends 4 MiB.
	Unpacked int64
	// Value is the largest variable length value. Default 256 MiB.
	Value int64
	// Text is the largest text or comment that is read whole. Default 16 MiB.
	Text int64
	// Blocks is how many blocks of metadata are visited. Default 16 Mi.
	Blocks int64
	// Metadata is how many bytes of metadata are held. Default 1 GiB.
	Metadata int64
	// Channels is the largest number of channels. Default 1 Mi.
	Channels int
	// Record is the largest size of a record. Default 64 MiB.
	Record int64
	// VirtualRows is the largest number of rows of a group whose records have
	// no bytes, so that nothing but a counter tells how many there are. Default 64 Mi.
	VirtualRows int64
}

// Bounds that no setting changes.
const (
	maxDepth    = 16      // of compositions, conversions, hierarchies
	maxElements = 1 << 16 // of an array in a record
	maxLinks    = 1 << 22 // of one block
	maxGuards   = 4       // guard blocks in front of a block
	maxProblems = 1000
)

func (l Limits) withDefaults() Limits {
	set := func(v *int64, def int64) {
		if *v <= 0 {
			*v = def
		}
	}
	set(&l.Unpacked, 256<<20)
	set(&l.Value, 256<<20)
	set(&l.Text, 16<<20)
	set(&l.Blocks, 16<<20)
	set(&l.Metadata, 1<<30)
	set(&l.Record, 64<<20)
	set(&l.VirtualRows, 64<<20)
	if l.Channels <= 0 {
		l.Channels = 1 << 20
	}
	return l
}
