package parquet

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// LakeName turns a name of a source into one of the lake: lower case, every
// byte other than a letter, a digit or an underscore replaced by an
// underscore, no underscore in front. A name of which nothing is left becomes
// "unnamed".
func LakeName(s string) string {
	b := make([]byte, 0, len(s))
	for _, r := range s {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			b = append(b, byte(r))
		case r >= 'A' && r <= 'Z':
			b = append(b, byte(r)+'a'-'A')
		case len(b) > 0:
			b = append(b, '_')
		}
	}
	if len(b) == 0 {
		return "unnamed"
	}
	return string(b)
}

// namer gives out names that do not collide within one scope: the columns of a
// table, the fields of a struct, the tables of a lake. The first to ask for a
// name gets it plain; a later one gets its own hash behind it, so that its
// name depends on nothing but the names before it.
type namer struct {
	lake  bool // map to lake names
	taken map[string]bool
}

// maxName is the length from which a name is cut and ends in its own hash:
// file systems take 255 bytes, catalogs 255 characters, and a suffix may follow.
const maxName = 200

func newNamer(lake bool) *namer { return &namer{lake: lake, taken: make(map[string]bool)} }

// name returns the name for source with a suffix such as _ns behind it.
func (n *namer) name(source, suffix string) string {
	name := source
	if n.lake {
		if name = LakeName(source); len(name) > maxName {
			sum := sha256.Sum256([]byte(source))
			name = name[:maxName-13] + "_" + hex.EncodeToString(sum[:6])
		}
	}
	if !strings.HasSuffix(name, suffix) {
		name += suffix
	}
	if n.claim(name) {
		return name
	}
	sum := sha256.Sum256([]byte(source + suffix))
	digits := hex.EncodeToString(sum[:])
	for l := 6; l <= len(digits); l++ {
		if alt := name + "_" + digits[:l]; n.claim(alt) {
			return alt
		}
	}
	return name + "_" + digits
}

// claim takes a name, unless it is taken.
func (n *namer) claim(name string) bool {
	if n.taken[name] {
		return false
	}
	n.taken[name] = true
	return true
}
