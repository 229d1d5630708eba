package mdf4

import (
	"slices"
	"strconv"
	"strings"
)

// maxTemplate is how many elements, each a table, an array that is stored in
// groups or data blocks of its own may have.
const maxTemplate = 4096

// expand replaces the groups that are templates. Where an array is stored in
// channel groups (ca_storage 1) or data groups (2), the group that has its
// channel only describes the records: each element has records of its own, with
// times of their own, and so becomes a group of its own. Those of the first
// kind have consecutive record ids in the same stream, those of the second a
// stream each.
func (f *file) expand(dg *dataGroup) {
	groups := dg.groups
	dg.groups = nil
	for _, g := range groups {
		a := g.template()
		n := 0
		if a != nil {
			n = a.total * count(g.channels)
		}
		if a == nil || a.storage == storeCG && dg.idSize == 0 || a.total > maxTemplate || f.channels+n > f.lim.Channels {
			dg.groups = append(dg.groups, g) // its array is named as one that is not read
			continue
		}
		f.channels += n
		for k := range a.total {
			e := *g
			e.element, e.remote, e.flags = a.place(k), 0, g.flags&^cgRemoteMaster
			if k < len(a.cycles) {
				e.cycles = a.cycles[k]
			}
			if k > 0 {
				e.sr = 0
			}
			e.channels = cloneChannels(g.channels, &e, nil)
			if a.storage == storeCG {
				e.id += uint64(k)
				dg.groups = append(dg.groups, &e)
				continue
			}
			own := &dataGroup{off: dg.off, index: len(f.groups), idSize: dg.idSize, data: a.data[k]}
			if own.data == 0 && k == 0 {
				own.data = dg.data
			}
			f.note(own.data)
			e.dg, own.groups = own, []*group{&e}
			f.groups = append(f.groups, own)
		}
	}
}

// template is the array whose elements have records of their own; nil where
// there is none, or there are several that do not go together.
func (g *group) template() *arrayInfo {
	var found *arrayInfo
	good := true
	var walk func([]*channel)
	walk = func(list []*channel) {
		for _, c := range list {
			walk(c.members)
			a := c.array
			if a == nil {
				continue
			}
			if a.inner.apart() || slices.ContainsFunc(a.members, (*channel).apart) {
				good = false
			}
			if a.storage == storeRecord {
				continue
			}
			if found != nil && (a.storage != storeCG || found.storage != storeCG || !slices.Equal(a.dims, found.dims)) {
				good = false
			}
			found = a
		}
	}
	walk(g.channels)
	if !good || found == nil || found.storage > storeDG {
		return nil
	}
	return found
}

// apart reports whether some elements of an array lie outside of the record.
func (a *arrayInfo) apart() bool {
	return a != nil && (a.storage != storeRecord || a.inner.apart() || slices.ContainsFunc(a.members, (*channel).apart))
}

func (c *channel) apart() bool {
	return c.array.apart() || slices.ContainsFunc(c.members, (*channel).apart)
}

// place spells the indices of element k: [1][2].
func (a *arrayInfo) place(k int) string {
	index := make([]int, len(a.dims))
	for i := range a.dims {
		d := len(a.dims) - 1 - i // the last index fastest
		if a.flags&64 != 0 {
			d = i
		}
		index[d] = k % a.dims[d]
		k /= a.dims[d]
	}
	var b strings.Builder
	for _, i := range index {
		b.WriteString("[" + strconv.Itoa(i) + "]")
	}
	return b.String()
}

// count counts channels and those they are made of.
func count(list []*channel) int {
	n := len(list)
	for _, c := range list {
		n += count(c.members)
		for a := c.array; a != nil; a = a.inner {
			n += count(a.members)
		}
	}
	return n
}

// cloneChannels copies channels for one element of a template, in which the
// array is a single value, or what its elements are made of.
func cloneChannels(list []*channel, g *group, parent *channel) []*channel {
	out := make([]*channel, len(list))
	for i, c := range list {
		n := *c
		n.group, n.parent = g, parent
		n.members = cloneChannels(c.members, g, &n)
		switch a := c.array; {
		case a == nil:
		case a.storage != storeRecord:
			n.array = cloneArray(a.inner, g, &n)
			n.members = cloneChannels(a.members, g, &n)
		default:
			n.array = cloneArray(a, g, &n)
		}
		out[i] = &n
	}
	return out
}

func cloneArray(a *arrayInfo, g *group, parent *channel) *arrayInfo {
	if a == nil {
		return nil
	}
	n := *a
	n.members, n.inner = nil, cloneArray(a.inner, g, parent)
	if a.members != nil {
		n.members = cloneChannels(a.members, g, parent)
	}
	return &n
}
