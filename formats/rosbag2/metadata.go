package rosbag2

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/drivemill/drivemill/pipeline"
)

// MetadataFile is the name of the file that describes a recording.
const MetadataFile = "metadata.yaml"

const (
	topKey          = "rosbag2_bagfile_information"
	maxMetadata     = 16 << 20
	metadataVersion = 9 // the newest that is known
)

// metadata is what metadata.yaml tells, and what storage files repeat. Other
// keys are ignored.
type metadata struct {
	Version    int        `yaml:"version"`
	Storage    string     `yaml:"storage_identifier"`
	Paths      []string   `yaml:"relative_file_paths"`
	Duration   duration   `yaml:"duration"`
	Start      startTime  `yaml:"starting_time"`
	Messages   int64      `yaml:"message_count"`
	Topics     []topic    `yaml:"topics_with_message_count"`
	Codec      string     `yaml:"compression_format"`
	Mode       string     `yaml:"compression_mode"`
	Files      []fileInfo `yaml:"files"`
	CustomData yaml.Node  `yaml:"custom_data"`
	Distro     string     `yaml:"ros_distro"`

	custom []pipeline.DetailField
}

type duration struct {
	Nanoseconds int64 `yaml:"nanoseconds"`
}

type startTime struct {
	Nanoseconds int64 `yaml:"nanoseconds_since_epoch"`
}

type topic struct {
	Metadata struct {
		Name          string    `yaml:"name"`
		Type          string    `yaml:"type"`
		Serialization string    `yaml:"serialization_format"`
		QoS           yaml.Node `yaml:"offered_qos_profiles"`
		Hash          string    `yaml:"type_description_hash"`
	} `yaml:"topic_metadata"`
	Messages int64 `yaml:"message_count"`
}

type fileInfo struct {
	Path     string    `yaml:"path"`
	Start    startTime `yaml:"starting_time"`
	Duration duration  `yaml:"duration"`
	Messages int64     `yaml:"message_count"`
}

// parseMetadata reads metadata.yaml, or the inner map that storage files hold.
func parseMetadata(text []byte) (*metadata, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, fmt.Errorf("%w: %w", err, pipeline.ErrCorrupt)
	}
	if len(doc.Content) == 0 || doc.Content[0].Kind != yaml.MappingNode {
		return nil, fmt.Errorf("not a mapping: %w", pipeline.ErrCorrupt)
	}
	root := doc.Content[0]
	for i := 0; i+1 < len(root.Content); i += 2 {
		if root.Content[i].Value == topKey {
			root = root.Content[i+1]
			break
		}
	}
	m := &metadata{}
	if err := root.Decode(m); err != nil {
		return nil, fmt.Errorf("%w: %w", err, pipeline.ErrCorrupt)
	}
	if c := &m.CustomData; c.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(c.Content); i += 2 {
			if c.Content[i+1].Kind == yaml.ScalarNode {
				m.custom = append(m.custom, pipeline.DetailField{Name: c.Content[i].Value, Value: c.Content[i+1].Value})
			}
		}
	}
	return m, nil
}

// check refuses what cannot be read, by name.
func (m *metadata) check() error {
	switch m.Storage {
	case "sqlite3", "mcap", "":
	default:
		return fmt.Errorf("storage plugin %q is not read: %w", m.Storage, pipeline.ErrUnsupported)
	}
	switch strings.ToLower(m.Mode) {
	case "", "none":
		return nil
	case "file", "message":
	default:
		return fmt.Errorf("compression mode %q is not read: %w", m.Mode, pipeline.ErrUnsupported)
	}
	if m.Codec != "zstd" {
		return fmt.Errorf("compression format %q is not read: %w", m.Codec, pipeline.ErrUnsupported)
	}
	return nil
}

// perMessage reports whether each message is compressed.
func (m *metadata) perMessage() bool { return m != nil && strings.EqualFold(m.Mode, "message") }

// lists reports whether a file of that name is one of the recording. Paths
// before version 4 begin with the name of the folder, which may have changed:
// the last part counts.
func (m *metadata) lists(name string) bool {
	for _, p := range m.Paths {
		if base(p) == name {
			return true
		}
	}
	return false
}

// count returns the number of messages that files of the metadata tell of one,
// or -1.
func (m *metadata) count(name string) int64 {
	for _, f := range m.Files {
		if base(f.Path) == name {
			return f.Messages
		}
	}
	if len(m.Paths) == 1 && base(m.Paths[0]) == name {
		return m.Messages
	}
	return -1
}

// base is the last part of a path, written on whatever system.
func base(p string) string { return path.Base(strings.ReplaceAll(p, `\`, "/")) }

// readMetadata reads metadata.yaml: one of the parts of the recording, or a
// file beside it. It returns nil where there is none. Beside tells that it is
// not a part.
func readMetadata(ctx context.Context, src pipeline.Source) (m *metadata, beside bool, err error) {
	var file pipeline.Source
	for _, p := range pipeline.Parts(src) {
		if base(p.Object().Key) == MetadataFile {
			file = p
		}
	}
	if file == nil {
		if file, err = openBeside(ctx, src, MetadataFile); file == nil || err != nil {
			return nil, false, err
		}
		beside = true
	}
	size := file.Object().Size
	if size > maxMetadata {
		return nil, beside, fmt.Errorf("%s of %d bytes: %w", MetadataFile, size, pipeline.ErrLimit)
	}
	rc, err := file.Reader(ctx, 0, -1)
	if err != nil {
		return nil, beside, err
	}
	defer rc.Close()
	text, err := io.ReadAll(io.LimitReader(rc, maxMetadata))
	if err != nil {
		return nil, beside, err
	}
	if m, err = parseMetadata(text); err != nil {
		return nil, beside, fmt.Errorf("%s: %w", MetadataFile, err)
	}
	return m, beside, nil
}

// openBeside opens a file in the folder of the recording; it returns nil where
// there is none, or where the source cannot tell.
func openBeside(ctx context.Context, src pipeline.Source, name string) (pipeline.Source, error) {
	n, ok := src.(pipeline.Neighbours)
	if !ok {
		return nil, nil
	}
	file, err := n.Beside(ctx, name)
	if errors.Is(err, pipeline.ErrNotFound) {
		return nil, nil
	}
	return file, err
}
