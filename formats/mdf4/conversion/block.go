package conversion

// Kind is what a conversion is applied to.
type Kind uint8

const (
	// Numeric channels hold integers or floating point numbers.
	Numeric Kind = iota
	// Text channels hold strings.
	Text
)

// Types of conversion (cc_type).
const (
	typeIdentity      = 0
	typeLinear        = 1
	typeRational      = 2
	typeAlgebraic     = 3
	typeInterpolate   = 4
	typeNearest       = 5
	typeRangeToValue  = 6
	typeValueToText   = 7
	typeRangeToText   = 8
	typeTextToValue   = 9
	typeTextToText    = 10
	typeBitfieldText  = 11
	flagStatusStrings = 1 << 2 // of cc_flags
)

// Limits on what a file may claim.
const (
	maxDepth  = 16       // blocks below blocks
	maxBlocks = 4096     // blocks of a tree
	maxText   = 16 << 10 // bytes of text for one row
)

// Block is one CCBLOCK as read from a file, with its links resolved. A nil
// Block is the identity.
type Block struct {
	Type   uint8
	Name   string
	Unit   string
	Flags  uint16
	Values []float64 // parameters, keys and bounds of types 1 to 10
	Masks  []uint64  // of type 11
	Refs   []Ref
	Offset int64 // of the block in the object, for errors
}

// Ref is one link of a block's reference list: to a text, to another block, or
// NIL where both are nil.
type Ref struct {
	Text       *string
	Conversion *Block
}

// Output says what a program makes of a channel.
type Output struct {
	// Value: the channel has physical values, float64, which take the place
	// of the raw numbers. Where it is false the raw values stay.
	Value bool
	// Label: rows have texts, in a column beside the numbers.
	Label bool
	// Text: the channel is a text and stays one: the texts of the label
	// column take the place of the raw ones.
	Text bool
	// Unit of the physical values, where the block or one nested in it names
	// one: a unit of the channel itself comes first.
	Unit string
	// LabelBytes is the size of the largest text the program itself can give
	// to one row.
	LabelBytes int
}

// Identity reports whether the raw values stay as they are.
func (o Output) Identity() bool { return !o.Value && !o.Label && !o.Text }
