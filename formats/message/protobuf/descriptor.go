package protobuf

import (
	"fmt"
	"strings"

	"github.com/drivemill/drivemill/pipeline"
)

// The types of fields, numbered as FieldDescriptorProto.Type.
const (
	typeDouble = iota + 1
	typeFloat
	typeInt64
	typeUint64
	typeInt32
	typeFixed64
	typeFixed32
	typeBool
	typeString
	typeGroup
	typeMessage
	typeBytes
	typeUint32
	typeEnum
	typeSfixed32
	typeSfixed64
	typeSint32
	typeSint64
)

// Values of FeatureSet.
const (
	presenceExplicit  = 1
	presenceImplicit  = 2
	encodingDelimited = 2
)

// features are those parts of a FeatureSet that matter here; 0 is unset.
type features struct{ presence, encoding uint64 }

func (f features) over(below features) features {
	if f.presence == 0 {
		f.presence = below.presence
	}
	if f.encoding == 0 {
		f.encoding = below.encoding
	}
	return f
}

// messageType is a DescriptorProto.
type messageType struct {
	name     string // full
	fields   []field
	mapEntry bool
	features features
	proto3   bool
}

// field is a FieldDescriptorProto.
type field struct {
	name     string
	number   int32
	repeated bool
	required bool
	typ      uint64
	typeName string
	scope    string // where typeName is looked up
	deflt    string
	oneof    int32 // -1: none
	optional bool  // proto3_optional
	features features
}

// set is the types of a FileDescriptorSet by full name.
type set struct {
	messages map[string]*messageType
	enums    map[string]map[int64]string
	count    int
}

func (s *set) find(name string) *messageType {
	return s.messages[strings.TrimPrefix(name, ".")]
}

// resolve finds the full name that a type name means in a scope: from the
// innermost outwards.
func (s *set) resolve(name, scope string) string {
	if full, ok := strings.CutPrefix(name, "."); ok {
		return full
	}
	for {
		full := name
		if scope != "" {
			full = scope + "." + name
		}
		if s.messages[full] != nil || s.enums[full] != nil || scope == "" {
			return full
		}
		i := strings.LastIndexByte(scope, '.')
		scope = scope[:max(i, 0)]
	}
}

// each calls fn for every field of a serialized message: v is the number of a
// varint, b the bytes of anything of a length.
func each(b []byte, fn func(num int32, v uint64, b []byte) error) error {
	for pos := 0; pos < len(b); {
		num, wt, next := tag(b, pos, len(b))
		if next < 0 {
			return fmt.Errorf("bad tag: %w", pipeline.ErrCorrupt)
		}
		pos = next
		var v uint64
		var body []byte
		switch wt {
		case wireVarint:
			if v, next = varint(b, pos, len(b)); next < 0 {
				return fmt.Errorf("bad number: %w", pipeline.ErrTruncated)
			}
		case wireBytes:
			n, at := varint(b, pos, len(b))
			if at < 0 || n > uint64(len(b)-at) {
				return fmt.Errorf("bad length: %w", pipeline.ErrTruncated)
			}
			body, next = b[at:at+int(n)], at+int(n)
		default:
			if next = skip(b, pos, len(b), num, wt, 0); next < 0 {
				return fmt.Errorf("bad field: %w", pipeline.ErrCorrupt)
			}
			pos = next
			continue
		}
		pos = next
		if err := fn(num, v, body); err != nil {
			return err
		}
	}
	return nil
}

func parseSet(b []byte) (*set, error) {
	s := &set{messages: make(map[string]*messageType), enums: make(map[string]map[int64]string)}
	err := each(b, func(num int32, _ uint64, b []byte) error {
		if num == 1 {
			return s.file(b)
		}
		return nil
	})
	return s, err
}

func (s *set) file(b []byte) error {
	pkg, proto3 := "", false
	var fs features
	syntax := ""
	err := each(b, func(num int32, v uint64, b []byte) error {
		switch num {
		case 2:
			pkg = string(b)
		case 8:
			return optionFeatures(b, 50, &fs)
		case 12:
			syntax = string(b)
		}
		return nil
	})
	if err != nil {
		return err
	}
	switch syntax {
	case "proto3":
		proto3 = true
		fs = features{presence: presenceImplicit}
	case "editions":
		fs = fs.over(features{presence: presenceExplicit})
	default:
		fs = features{presence: presenceExplicit}
	}
	return each(b, func(num int32, _ uint64, b []byte) error {
		switch num {
		case 4:
			return s.message(b, pkg, fs, proto3, 0)
		case 5:
			return s.enum(b, pkg)
		}
		return nil
	})
}

// optionFeatures reads the FeatureSet that is field num of some options.
func optionFeatures(b []byte, num int32, out *features) error {
	return each(b, func(n int32, _ uint64, b []byte) error {
		if n != num {
			return nil
		}
		return each(b, func(n int32, v uint64, _ []byte) error {
			switch n {
			case 1:
				out.presence = v
			case 5:
				out.encoding = v
			}
			return nil
		})
	})
}

func join(scope, name string) string {
	if scope == "" {
		return name
	}
	return scope + "." + name
}

// add counts a type. The first of a name is kept: sets hold files twice.
func (s *set) add() error {
	if s.count++; s.count > maxTypes {
		return fmt.Errorf("more than %d types: %w", maxTypes, pipeline.ErrLimit)
	}
	return nil
}

func (s *set) message(b []byte, scope string, fs features, proto3 bool, depth int) error {
	if depth > maxNest {
		return fmt.Errorf("types declared inside each other deeper than %d: %w", maxNest, pipeline.ErrLimit)
	}
	if err := s.add(); err != nil {
		return err
	}
	m := &messageType{proto3: proto3}
	err := each(b, func(num int32, _ uint64, b []byte) error {
		switch num {
		case 1:
			m.name = join(scope, string(b))
		case 7:
			if err := optionFeatures(b, 12, &m.features); err != nil {
				return err
			}
			return each(b, func(num int32, v uint64, _ []byte) error {
				if num == 7 {
					m.mapEntry = v != 0
				}
				return nil
			})
		}
		return nil
	})
	if err != nil {
		return err
	}
	m.features = m.features.over(fs)
	err = each(b, func(num int32, _ uint64, b []byte) error {
		switch num {
		case 2:
			f, err := parseField(b)
			if err != nil {
				return err
			}
			f.scope = m.name
			f.features = f.features.over(m.features)
			m.fields = append(m.fields, f)
		case 3:
			return s.message(b, m.name, m.features, proto3, depth+1)
		case 4:
			return s.enum(b, m.name)
		}
		return nil
	})
	if err == nil && s.messages[m.name] == nil {
		s.messages[m.name] = m
	}
	return err
}

func parseField(b []byte) (field, error) {
	f := field{oneof: -1}
	err := each(b, func(num int32, v uint64, b []byte) error {
		switch num {
		case 1:
			f.name = string(b)
		case 3:
			f.number = int32(v)
		case 4:
			f.required, f.repeated = v == 2, v == 3
		case 5:
			f.typ = v
		case 6:
			f.typeName = string(b)
		case 7:
			f.deflt = string(b)
		case 8:
			return optionFeatures(b, 21, &f.features)
		case 9:
			f.oneof = int32(v)
		case 17:
			f.optional = v != 0
		}
		return nil
	})
	if err == nil && (f.name == "" || f.number <= 0 || f.number >= 1<<29) {
		err = fmt.Errorf("field %q has number %d: %w", f.name, f.number, pipeline.ErrCorrupt)
	}
	return f, err
}

func (s *set) enum(b []byte, scope string) error {
	if err := s.add(); err != nil {
		return err
	}
	name := ""
	values := make(map[int64]string)
	err := each(b, func(num int32, _ uint64, b []byte) error {
		switch num {
		case 1:
			name = join(scope, string(b))
		case 2:
			label, number := "", int64(0)
			err := each(b, func(num int32, v uint64, b []byte) error {
				switch num {
				case 1:
					label = string(b)
				case 2:
					number = int64(int32(v))
				}
				return nil
			})
			if err != nil {
				return err
			}
			if _, ok := values[number]; !ok { // of aliases the first
				values[number] = label
			}
		}
		return nil
	})
	if err == nil && s.enums[name] == nil {
		s.enums[name] = values
	}
	return err
}
