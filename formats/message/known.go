package message

import (
	"errors"
	"fmt"

	"github.com/drivemill/drivemill/pipeline"
)

// KnownLayouts is implemented by encodings that have message types built in,
// so that columns are known before a recording is read.
type KnownLayouts interface {
	// KnownLayout returns the layout of a type, or an error that wraps
	// pipeline.ErrNotFound.
	KnownLayout(typeName string) (Layout, error)
}

// KnownTable returns the table that messages of a built-in type make in a
// container with the given envelope.
func KnownTable(encodings []Encoding, envelope []Envelope, typeName string) (*pipeline.Table, error) {
	for _, e := range encodings {
		k, ok := e.(KnownLayouts)
		if !ok {
			continue
		}
		l, err := k.KnownLayout(typeName)
		if errors.Is(err, pipeline.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		t, err := NewTable(typeName, envelope, l, nil)
		if err != nil {
			return nil, err
		}
		return t.Table, nil
	}
	return nil, fmt.Errorf("message type %q is not built in: %w", typeName, pipeline.ErrNotFound)
}
