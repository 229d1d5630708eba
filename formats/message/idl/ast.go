package idl

// declKind is what a name stands for.
type declKind uint8

const (
	declStruct declKind = iota
	declUnion
	declEnum
	declBitmask
	declTypedef
	declConst
	declEnumerator
)

// decl is a declaration as it stands in the text.
type decl struct {
	kind    declKind
	name    string // scoped
	scope   string // in which its names are looked up
	line    int
	notes   annotations
	base    string // of a struct
	members []memberDecl
	of      typeSpec // of a typedef or constant; the discriminator of a union
	values  []enumValue
	value   *expr // of a constant
	number  int64 // of an enumerator
	forward bool

	typ  *Type // once resolved
	busy bool
	eval *constant
}

type memberDecl struct {
	name  string
	of    typeSpec
	notes annotations
	line  int
	cases []*expr
	other bool // default:
}

type enumValue struct {
	name  string
	notes annotations
}

// typeSpec is a type where it is used, with the dimensions of its declarator.
type typeSpec struct {
	word  string // a keyword, normalised, or sequence, map, string, wstring
	name  string // of a declared type
	elem  *typeSpec
	key   *typeSpec
	bound *expr
	dims  []*expr
	line  int
}

// expr is a constant expression.
type expr struct {
	op    string // empty: a literal or a name
	l, r  *expr  // r alone of a unary operator
	value *constant
	name  string
	line  int
}

// annotations by name, of which the last counts.
type annotations map[string]map[string]*expr

// has reports whether an annotation stands there, and is not FALSE.
func (a annotations) has(name string) bool {
	p, ok := a[name]
	if !ok {
		return false
	}
	v := p["value"]
	return v == nil || v.name != "FALSE" && v.name != "false"
}

// param is a parameter of an annotation; nil where there is none.
func (a annotations) param(name, param string) *expr { return a[name][param] }
