package pipeline

import "context"

// MultiSource is the Source of a recording that consists of several objects:
// a split bag, a directory. As a Source it is the first of them.
type MultiSource interface {
	Source
	// Parts are the sources of all objects, in the order that Assemble gave
	// them. A decoder numbers the origin of rows of part i
	// DecodeOptions.Object + i.
	Parts() []Source
}

// Neighbours is implemented by sources that lie beside other objects.
type Neighbours interface {
	// Beside opens the object of that slash-separated name relative to the
	// folder of the source; it cannot lead outside the store. The error wraps
	// ErrNotFound when there is none.
	Beside(ctx context.Context, name string) (Source, error)
}

// Parts returns the sources of all objects of a recording.
func Parts(src Source) []Source {
	if m, ok := src.(MultiSource); ok {
		return m.Parts()
	}
	return []Source{src}
}

// Assembler is implemented by formats whose recordings may consist of several
// objects.
type Assembler interface {
	Format
	// Assemble finds, by name alone, which of the objects that a pattern
	// matched (ascending by key) belong together. It returns the recordings it
	// is sure of, each with its objects in reading order; what it does not
	// mention stays a recording of its own or is left to other formats. No
	// object may be mentioned twice.
	//
	// Where a matched object stands for a folder (the metadata.yaml of a
	// rosbag2), folder lists what lies directly in the folder of the object
	// with that key. It costs a request: it is for such objects only.
	Assemble(ctx context.Context, matched []Object, folder func(ctx context.Context, key string) ([]Object, error)) ([]Assembly, error)
}

// Assembly is a recording made of several objects.
type Assembly struct {
	// Key names the recording in its store: the folder, or the first object.
	Key string
	// Objects in reading order. Those that were matched but are not read themselves
	// (a metadata file) come last.
	Objects []Object
}

// Cutter is implemented by formats whose recordings can be decoded in parts.
type Cutter interface {
	Format
	// Cut divides a recording by log time into parts of about size bytes as
	// stored. It returns the times at which one part ends and the next begins,
	// ascending; none when it is too small, or cannot be cut, and why not in
	// that case. Each part is then decoded by a Selection of its own, From
	// inclusive, To exclusive: together they deliver every row once.
	Cut(d *Description, size int64) (at []int64, why string)
}
