package jsonschema

import (
	"fmt"

	"github.com/drivemill/drivemill/formats/message"
	"github.com/drivemill/drivemill/formats/message/tree"
	"github.com/drivemill/drivemill/pipeline"
)

// Untyped is the root of messages without a schema: their text.
func Untyped() *Value {
	text := &Value{Kind: Text, Node: textNode(TextColumn)}
	return &Value{Kind: Text, Node: &tree.Node{Kind: tree.Struct, Members: []*tree.Node{text.Node}}, Members: []*Value{text}}
}

// Root is the root of the messages of a channel with a message encoding: from
// its schema in jsonschema, or untyped where it has none.
func Root(s message.Schema, encoding string) (*Value, error) {
	switch {
	case s.Encoding == "jsonschema":
		v, err := Parse(s.Data)
		if err != nil {
			return nil, fmt.Errorf("parsing schema: %w", err)
		}
		return v, nil
	case s.Encoding == "" && len(s.Data) == 0:
		return Untyped(), nil
	}
	return nil, fmt.Errorf("schema %s: schema encoding %q with message encoding %s: %w", s.Name, s.Encoding, encoding, pipeline.ErrUnsupported)
}
