// Package fleet knows drives by their model: one name for a product that
// reports several, who made it, and whether it stores data or boots a server.
//
// # Names
//
// Control characters become spaces, runs of spaces one. A maker's name in front
// of a product number goes ("WDC WUH721816ALE6L4" is WUH721816ALE6L4); in front
// of a marketing name ("Samsung SSD 850 EVO 1TB") it stays. Nothing is cut off
// the end: MG08ACA16TE and MG08ACA16TEY are two products. An empty model is
// "unknown".
//
// # Classes
//
// No column says which drives boot a server. Those are told by a list of
// models, as published reports name them; what is on no list and has less than
// 1 TB after the year 2016 counts as a boot drive too.
//
// Version is raised whenever an answer changes.
package fleet

import (
	"strings"
	"unicode"
)

// Version names the tables of this package.
const Version = "2026.1"

// Unknown stands for a model or maker that is not known.
const Unknown = "unknown"

// Classes of drives.
const (
	DataHDD = "data_hdd"
	BootHDD = "boot_hdd"
	BootSSD = "boot_ssd"
)

// Model is what is known of a model.
type Model struct {
	Name  string // normalised
	Maker string
	Class string
	// Listed is set where the class is known by the model; Class is a guess
	// otherwise, which Classify corrects by capacity.
	Listed bool
}

// makerNames are what may stand in front of a product number.
var makerNames = []struct{ prefix, maker string }{
	{"WDC", "WDC"}, {"HGST", "WDC"}, {"Hitachi", "WDC"}, {"WD", "WDC"},
	{"TOSHIBA", "Toshiba"}, {"Seagate", "Seagate"}, {"Samsung", "Samsung"},
	{"Micron", "Micron"}, {"Crucial", "Crucial"}, {"Intel", "Intel"}, {"Dell", "Dell"},
}

// numbers are how product numbers begin.
var numbers = []struct{ prefix, maker string }{
	{"ST", "Seagate"}, {"CT", "Crucial"}, {"MTFD", "Micron"}, {"SSDSC", "Intel"}, {"DELLBOSS", "Dell"},
	{"WUH", "WDC"}, {"WUS", "WDC"}, {"HUH", "WDC"}, {"HUS", "WDC"}, {"HMS", "WDC"}, {"HDS", "WDC"}, {"HTS", "WDC"}, {"WD", "WDC"},
	{"MG0", "Toshiba"}, {"MG1", "Toshiba"}, {"MD0", "Toshiba"}, {"MQ0", "Toshiba"}, {"DT01", "Toshiba"}, {"HDWE", "Toshiba"}, {"HDWF", "Toshiba"},
	{"ZA", "Seagate"}, {"BarraCuda", "Seagate"}, {"IronWolf", "Seagate"}, {"FireCuda", "Seagate"},
}

// bootSSDs and bootHDDs are how normalised names of boot drives begin.
var bootSSDs = []string{
	"CT250MX500SSD1", "DELLBOSS", "Seagate SSD", "Seagate BarraCuda", "Seagate IronWolf ZA", "Seagate FireCuda", "BarraCuda", "IronWolf ZA", "FireCuda",
	"ZA250", "ZA500", "ZA1000", "ZA2000", "SSDSCKKB240GZR", "SSDSCKKB480G8R", "MTFDDAV240TCB", "MTFDDAV480TCB", "Micron 5300", "Micron 5400", "MTFD",
	"WDS250G2B0A", "WD Blue SA510", "Samsung SSD 850", "Samsung SSD 860", "Samsung SSD 870",
}

var bootHDDs = []string{
	"ST500LM012", "ST500LM021", "ST500LM030", "MQ01ABF050", "WD5000LPCX", "WD5000LPVX", "WD5000BPKT",
}

// Find looks a model up.
func Find(reported string) Model {
	name := tidy(reported)
	m := Model{Name: name, Maker: Unknown, Class: DataHDD}
	if name == "" {
		m.Name = Unknown
		return m
	}
	for _, k := range makerNames {
		rest, ok := cutWord(name, k.prefix)
		if !ok {
			continue
		}
		m.Maker = k.maker
		if isNumber(rest) {
			m.Name = rest
		}
		break
	}
	if m.Maker == Unknown {
		for _, k := range numbers {
			if hasPrefix(m.Name, k.prefix) {
				m.Maker = k.maker
				break
			}
		}
	}
	switch {
	case listed(bootSSDs, m.Name):
		m.Class, m.Listed = BootSSD, true
	case listed(bootHDDs, m.Name):
		m.Class, m.Listed = BootHDD, true
	case strings.Contains(strings.ToUpper(m.Name), "SSD"):
		m.Class, m.Listed = BootSSD, true
	}
	return m
}

const terabyte = 1_000_000_000_000

// lastSmall is the last day, counted from 1970, on which drives of less than
// 1 TB still stored data: 2016-12-31.
const lastSmall = 17166

// Classify returns the class of a drive of this model. Capacity is in bytes, 0
// where it is not known; day counts from 1970.
func (m *Model) Classify(capacity, day int64) string {
	if !m.Listed && day > lastSmall && capacity > 0 && capacity < terabyte {
		return BootHDD
	}
	return m.Class
}

// tidy makes control characters spaces and runs of spaces one.
func tidy(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " ")
}

// cutWord cuts a first word and the space behind it off s, in any case.
func cutWord(s, word string) (string, bool) {
	if !hasPrefix(s, word) || len(s) == len(word) || s[len(word)] != ' ' {
		return "", false
	}
	return s[len(word)+1:], true
}

// isNumber reports whether s looks like a product number: its first word has a
// digit and begins as none of the marketing names do.
func isNumber(s string) bool {
	word, rest, _ := strings.Cut(s, " ")
	return strings.ContainsAny(word, "0123456789") && !strings.EqualFold(word, "SSD") && !strings.Contains(rest, " ") && len(word) >= 6
}

func listed(list []string, name string) bool {
	for _, p := range list {
		if hasPrefix(name, p) {
			return true
		}
	}
	return false
}

func hasPrefix(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// CleanCapacity returns a capacity that a drive can have: more than nothing
// and less than 1,000 TB. Failing drives report others.
func CleanCapacity(bytes int64) (int64, bool) {
	return bytes, bytes > 0 && bytes < 1000*terabyte
}

// maxHours is the longest time in service that is believed: 20 years.
const maxHours = 20 * 365 * 24

// Hours returns a time in service, SMART 9, that can be believed.
func Hours(raw int64) (int64, bool) {
	return raw, raw >= 0 && raw <= maxHours
}

// HoursPerYear and HoursPerMonth are those of a year of 365.25 days.
const (
	HoursPerYear  = 8766
	HoursPerMonth = 730.5
)
