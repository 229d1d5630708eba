package pipeline

// Map is an ordered mapping in a pipeline file, for configuration structs that
// care about order or about the place of each key. Package config fills it.
type Map[T any] struct {
	Entries []Entry[T]
}

// Entry is one key of a Map with its value.
type Entry[T any] struct {
	Key   Text
	Value T
}

// AddEntry appends a key and returns a pointer to its value, for decoding
// into. Only package config calls it.
func (m *Map[T]) AddEntry(key Text) any {
	m.Entries = append(m.Entries, Entry[T]{Key: key})
	return &m.Entries[len(m.Entries)-1].Value
}

// Size is a number of bytes in a pipeline file: 16MiB, 2GB, 4096.
type Size int64
