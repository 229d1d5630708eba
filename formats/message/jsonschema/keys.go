package jsonschema

import (
	"bytes"
	"slices"
	"strconv"

	"github.com/drivemill/drivemill/formats/message/tree"
)

// Keys finds keys that an object has twice, without allocating once it has
// grown. Objects inside each other use one Keys.
type Keys struct{ keys [][]byte }

// Reset forgets all keys.
func (k *Keys) Reset() { k.keys = k.keys[:0] }

// Mark is where the keys of a new object begin.
func (k *Keys) Mark() int { return len(k.keys) }

// Add adds a key, which must stay as it is until Unique.
func (k *Keys) Add(key []byte) { k.keys = append(k.keys, key) }

// Unique reports whether the keys added since mark are distinct, and forgets
// them.
func (k *Keys) Unique(mark int) bool {
	keys := k.keys[mark:]
	k.keys = k.keys[:mark]
	if len(keys) <= 16 {
		for i, a := range keys {
			for _, b := range keys[:i] {
				if len(a) == len(b) && string(a) == string(b) {
					return false
				}
			}
		}
		return true
	}
	slices.SortFunc(keys, bytes.Compare)
	for i := 1; i < len(keys); i++ {
		if bytes.Equal(keys[i-1], keys[i]) {
			return false
		}
	}
	return true
}

// Extra gathers members that the schema does not name into the text of an
// object. The decoder keeps the path of the value at hand in it.
type Extra struct {
	path []byte
	text []byte
}

// Reset empties the path and the text.
func (x *Extra) Reset() { x.path, x.text = x.path[:0], x.text[:0] }

// Push adds a key to the path and returns what Pop takes.
func (x *Extra) Push(key []byte) int {
	n := len(x.path)
	if n > 0 {
		x.path = append(x.path, '.')
	}
	x.path = append(x.path, key...)
	return n
}

// PushIndex adds the index of an element to the path.
func (x *Extra) PushIndex(i int) int {
	n := len(x.path)
	x.path = append(strconv.AppendInt(append(x.path, '['), int64(i), 10), ']')
	return n
}

// Pop takes off what was pushed.
func (x *Extra) Pop(n int) { x.path = x.path[:n] }

// maxExtra bounds the text that paths can make large.
const maxExtra = 64 << 20

// Add adds the value of the member key at the path, JSON text. It returns
// false when the text gets too large.
func (x *Extra) Add(key, value []byte) bool {
	if len(x.text) == 0 {
		x.text = append(x.text, '{')
	} else {
		x.text = append(x.text, ',')
	}
	n := x.Push(key)
	x.text = append(tree.AppendQuoted(x.text, x.path), ':')
	x.Pop(n)
	x.text = append(x.text, value...)
	return len(x.text) <= maxExtra
}

// Text ends the object; nil where nothing was added.
func (x *Extra) Text() []byte {
	if len(x.text) > 0 {
		x.text = append(x.text, '}')
	}
	return x.text
}
