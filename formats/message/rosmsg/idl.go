package rosmsg

import (
	"fmt"
	"strings"
)

// idlWords are the types of IDL that stand for kinds.
var idlWords = map[Kind]string{
	Bool: "boolean", Int8: "int8", Uint8: "uint8", Int16: "int16", Uint16: "uint16", Int32: "int32", Uint32: "uint32",
	Int64: "int64", Uint64: "uint64", Float32: "float", Float64: "double", String: "string", WString: "wstring",
	Time: "builtin_interfaces::msg::Time", Duration: "builtin_interfaces::msg::Duration",
}

// IDL writes the text of one ROS 2 message, without those of the types it
// uses, as OMG IDL, so that definitions in both languages can refer to each
// other. Constants and defaults are left out.
func IDL(name, text string) (string, error) {
	s := section{name: name, line: 1, text: text}
	t, err := s.parse(ROS2)
	if err != nil {
		return "", err
	}
	pkg, short := packageOf(name), name[strings.LastIndexByte(name, '/')+1:]
	space := "msg"
	if parts := strings.Split(name, "/"); len(parts) == 3 {
		space = parts[1]
	}
	var b strings.Builder
	fmt.Fprintf(&b, "module %s { module %s { struct %s {\n", pkg, space, short)
	for i := range t.Fields {
		f := &t.Fields[i]
		word := idlWords[f.Kind]
		switch {
		case f.TypeName == "byte":
			word = "octet"
		case f.Kind == Message:
			parts := strings.Split(f.TypeName, "/")
			switch len(parts) {
			case 1:
				if parts[0] == "Header" {
					word = "Header" // of the package, else of std_msgs
					break
				}
				parts = []string{pkg, "msg", parts[0]}
			case 2:
				parts = []string{parts[0], "msg", parts[1]}
			}
			if word == "" {
				word = "::" + strings.Join(parts, "::")
			}
		case f.Bound > 0:
			word = fmt.Sprintf("%s<%d>", word, f.Bound)
		}
		switch {
		case f.Array == Single:
			fmt.Fprintf(&b, "%s %s;\n", word, f.Name)
		case f.Array == Fixed:
			fmt.Fprintf(&b, "%s %s[%d];\n", word, f.Name, f.Len)
		case f.Len > 0:
			fmt.Fprintf(&b, "sequence<%s, %d> %s;\n", word, f.Len, f.Name)
		default:
			fmt.Fprintf(&b, "sequence<%s> %s;\n", word, f.Name)
		}
	}
	b.WriteString("}; }; };\n")
	return b.String(), nil
}

// BuiltinIDL returns the definition of a built-in ROS 2 type in IDL, or of one
// that is derived from a service or action. The name is that of ROS or scoped
// with ::. A bare Header is that of std_msgs.
func BuiltinIDL(name string) (string, bool) {
	name = strings.ReplaceAll(name, "::", "/")
	if name == "Header" {
		return "typedef ::std_msgs::msg::Header Header;", true
	}
	if text, ok := DerivedIDL(name); ok {
		return text, true
	}
	if strings.Count(name, "/") != 2 {
		return "", false
	}
	text, ok := builtinText(ROS2, keyOf(name))
	if !ok {
		return "", false
	}
	out, err := IDL(name, text)
	return out, err == nil
}

// DerivedIDL returns the definition, in IDL, of a type that the tools of ROS 2
// derive from a service or action: pkg/srv/Service_Event, and so on. The types of
// the parts, Service_Request and the like, are for others to define.
func DerivedIDL(name string) (string, bool) {
	_, text, ok := derivedText(name)
	if !ok {
		return "", false
	}
	out, err := IDL(name, text)
	return out, err == nil
}
