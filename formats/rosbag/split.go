package rosbag

import (
	"cmp"
	"context"
	"path"
	"regexp"
	"slices"
	"strconv"

	"github.com/drivemill/drivemill/pipeline"
)

// partName is the name that rosbag record --split gives to a part: a prefix,
// the time at which this part was begun unless the user fixed the name, and
// the number of the part, counted from 0.
var partName = regexp.MustCompile(`^(|.*?_)((?:\d{4}(?:-\d{2}){5}_)?)(0|[1-9]\d{0,8})\.bag(\.active)?$`)

// bagPart is one object that is called like a part of a split bag.
type bagPart struct {
	object pipeline.Object
	stamp  string // when it was begun, empty in names without
	number int
	active bool // not closed: the last one
}

// series is the parts of one recording as far as they were met.
type series struct {
	parts []bagPart
	// doubt: names do not tell which recording a part belongs to.
	doubt bool
}

func (s *series) last() bagPart { return s.parts[len(s.parts)-1] }

var _ pipeline.Assembler = Format{}

// Assemble implements pipeline.Assembler for split bags: objects of one folder
// whose names differ in the number of the part, and in the time at which the
// part was begun where names hold one. Numbers begin at 0 and have no gap.
// Recordings of one prefix are told apart by their times. Where a part may
// belong to more than one of them, or one is missing, each of the objects in
// question is left to itself.
func (f Format) Assemble(_ context.Context, matched []pipeline.Object, _ func(context.Context, string) ([]pipeline.Object, error)) ([]pipeline.Assembly, error) {
	type groupKey struct {
		folder, prefix string
		dated          bool
	}
	groups := make(map[groupKey][]bagPart)
	for _, o := range matched {
		folder, name := path.Split(o.Key)
		m := partName.FindStringSubmatch(name)
		if m == nil || m[1] == "" && m[2] == "" {
			continue
		}
		n, err := strconv.Atoi(m[3])
		if err != nil {
			continue
		}
		k := groupKey{folder, m[1], m[2] != ""}
		groups[k] = append(groups[k], bagPart{object: o, stamp: m[2], number: n, active: m[4] != ""})
	}
	var out []pipeline.Assembly
	for _, parts := range groups {
		for _, s := range sortOut(parts) {
			if s.doubt || len(s.parts) < 2 {
				continue
			}
			a := pipeline.Assembly{Key: s.parts[0].object.Key}
			for _, p := range s.parts {
				a.Objects = append(a.Objects, p.object)
			}
			out = append(out, a)
		}
	}
	slices.SortFunc(out, func(a, b pipeline.Assembly) int { return cmp.Compare(a.Key, b.Key) })
	return out, nil
}

// sortOut divides the parts of one prefix into recordings.
func sortOut(parts []bagPart) []*series {
	slices.SortFunc(parts, func(a, b bagPart) int {
		return cmp.Or(cmp.Compare(a.stamp, b.stamp), cmp.Compare(a.number, b.number), cmp.Compare(a.object.Key, b.object.Key))
	})
	var all []*series
	for _, p := range parts {
		var fits []*series // that p may be the next part of
		for _, s := range all {
			if s.last().number == p.number-1 && !s.last().active {
				fits = append(fits, s)
			}
		}
		switch {
		case p.number == 0:
			// Without times in the names there is one recording of a prefix.
			again := p.stamp == "" && len(all) > 0
			for _, s := range all {
				s.doubt = s.doubt || again
			}
			all = append(all, &series{parts: []bagPart{p}, doubt: again})
		case len(fits) == 1:
			fits[0].parts = append(fits[0].parts, p)
		default:
			// It may be a part of any recording that is not past its number.
			for _, s := range all {
				s.doubt = s.doubt || s.last().number < p.number || p.stamp == ""
			}
			all = append(all, &series{parts: []bagPart{p}, doubt: true})
		}
	}
	return all
}
