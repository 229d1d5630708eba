package parquet

import (
	"path"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Whatever a topic is called, and whatever a recording says in the column that
// makes partitions, the place in the lake is a plain one: a table of letters,
// digits and underscores, and one directory for each key.
func TestHostilePlaces(t *testing.T) {
	table := regexp.MustCompile(`\A[a-z0-9][a-z0-9_]*\z`)
	check := func(t rapid.TB, s string) {
		name, value := LakeName(s), "vehicle_id="+escape(s)
		if !table.MatchString(name) {
			t.Errorf("topic %q makes the table %q", s, name)
		}
		if strings.ContainsAny(value, "/\\\x00\n\r\x1b\x7f") || path.Clean(value) != value || path.Base(value) != value {
			t.Errorf("value %q makes the directory %q", s, value)
		}
	}
	for _, s := range []string{
		"", ".", "..", "/", "//", "../..", "/../../etc/passwd", `..\..\x`, `C:\x`, "a/../b", "a\x00b", "a\nb", "\x1b[2J", "a\x7f", "%2e%2e%2f", "_drivemill", "/_drivemill/commits",
		"con", "a=b/c=d", strings.Repeat("../", 100), "\xff\xfe", "．．／", "\u202e",
	} {
		check(t, s)
	}
	rapid.Check(t, func(t *rapid.T) {
		check(t, rapid.OneOf(rapid.String(), rapid.StringOfN(rapid.RuneFrom([]rune("./\\%\x00\n\x1b_a=:")), 0, 40, -1)).Draw(t, "name"))
	})
}
