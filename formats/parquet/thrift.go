package parquet

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/parquet-go/parquet-go/encoding/thrift"

	"github.com/drivemill/drivemill/pipeline"
)

// errShort means that a structure goes on behind the bytes given.
var errShort = errors.New("structure is cut off")

// maxThriftDepth bounds structures inside structures.
const maxThriftDepth = 32

// unmarshal reads a structure in Thrift's compact protocol. The structure was
// measured before: the library allocates what lists claim to hold.
func unmarshal(b []byte, v any) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v: %w", r, pipeline.ErrCorrupt)
		}
	}()
	if err := thrift.Unmarshal(new(thrift.CompactProtocol), b, v); err != nil {
		// Not wrapped: the end of b is not the end of a file.
		return fmt.Errorf("%s: %w", err.Error(), pipeline.ErrCorrupt)
	}
	return nil
}

// measure returns the length of the structure at the start of b. It makes sure
// that no list or text claims to hold more than there is.
func measure(b []byte) (int, error) {
	m := meter{b: b}
	if err := m.structure(0); err != nil {
		return 0, err
	}
	return m.at, nil
}

type meter struct {
	b  []byte
	at int
}

var errThrift = fmt.Errorf("not a Thrift structure: %w", pipeline.ErrCorrupt)

func (m *meter) byte() (byte, error) {
	if m.at >= len(m.b) {
		return 0, errShort
	}
	m.at++
	return m.b[m.at-1], nil
}

func (m *meter) uvarint() (uint64, error) {
	v, n := binary.Uvarint(m.b[m.at:])
	if n == 0 {
		return 0, errShort
	}
	if n < 0 {
		return 0, errThrift
	}
	m.at += n
	return v, nil
}

func (m *meter) skip(n uint64) error {
	if n > uint64(len(m.b)-m.at) {
		return errShort
	}
	m.at += int(n)
	return nil
}

func (m *meter) structure(depth int) error {
	if depth > maxThriftDepth {
		return errThrift
	}
	for {
		h, err := m.byte()
		if err != nil {
			return err
		}
		if h == 0 {
			return nil
		}
		if h>>4 == 0 {
			if _, err := m.uvarint(); err != nil {
				return err
			}
		}
		// Booleans of a structure lie in their type.
		if t := h & 15; t != 1 && t != 2 {
			if err := m.value(t, depth); err != nil {
				return err
			}
		}
	}
}

func (m *meter) value(t byte, depth int) error {
	switch t {
	case 1, 2, 3:
		return m.skip(1)
	case 4, 5, 6:
		_, err := m.uvarint()
		return err
	case 7:
		return m.skip(8)
	case 8:
		n, err := m.uvarint()
		if err != nil {
			return err
		}
		return m.skip(n)
	case 9, 10:
		return m.list(depth)
	case 12:
		return m.structure(depth + 1)
	}
	// Parquet has no maps.
	return errThrift
}

func (m *meter) list(depth int) error {
	h, err := m.byte()
	if err != nil {
		return err
	}
	n := uint64(h >> 4)
	if n == 15 {
		if n, err = m.uvarint(); err != nil {
			return err
		}
	}
	// Every element takes a byte, so that what the library allocates for them
	// is bounded by the size of the file.
	if n > uint64(len(m.b)-m.at) {
		return errShort
	}
	for range n {
		start := m.at
		if err := m.value(h&15, depth); err != nil {
			return err
		}
		if h&15 == 12 && m.at-start < 3 {
			return errThrift // no structure in a list of Parquet's is that small
		}
	}
	return nil
}
