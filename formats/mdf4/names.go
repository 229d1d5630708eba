package mdf4

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// attributes are the facts of a group that its table keeps.
func (t *table) attributes() map[string]string {
	a := make(map[string]string)
	set := func(k, v string) {
		if v != "" {
			a[k] = v
		}
	}
	set("acquisition_name", t.g.name)
	set("comment", t.g.comment)
	set("element", t.g.element)
	if s := t.g.acquisition(); s != nil {
		set("source", s.name)
		set("source_path", s.path)
	}
	if t.frame != nil {
		set("bus", t.frame.bus)
		set("frame_kind", t.frame.kind)
		set("database", t.f.attachmentsOf(t.frame.channel))
	} else if bus, kind := t.g.busEvent(); bus != "" {
		set("bus", bus)
		set("frame_kind", kind)
	}
	return a
}

// attachmentsOf names the attachments that a channel and its members refer to:
// the bus descriptions of a frame.
func (f *file) attachmentsOf(c *channel) string {
	var names []string
	var walk func(*channel)
	walk = func(c *channel) {
		for _, off := range c.attached {
			for _, a := range f.attachments {
				if a.off == off && a.name != "" && !slices.Contains(names, a.name) {
					names = append(names, a.name)
				}
			}
		}
		for _, m := range c.members {
			walk(m)
		}
	}
	walk(c)
	return strings.Join(names, ", ")
}

// acquisition is the source of a group: its own, or the one that all its
// channels have.
func (g *group) acquisition() *sourceInfo {
	if g.source != nil {
		return g.source
	}
	var one *sourceInfo
	for _, c := range g.channels {
		if c.kind == chanMaster || c.kind == chanVirtualMaster {
			continue
		}
		if c.source == nil || one != nil && one.name != c.source.name {
			return nil
		}
		one = c.source
	}
	return one
}

// name calls the table by source and acquisition name. A group without any is
// called by its only channel, or by a hash of its channels.
func (t *table) name(taken map[string]bool) {
	var words []string
	add := func(s string) {
		if s = strings.TrimSpace(s); s != "" && (len(words) == 0 || words[len(words)-1] != s) {
			words = append(words, s)
		}
	}
	if s := t.g.acquisition(); s != nil {
		add(s.name)
	}
	add(t.g.name)
	if t.frame != nil && len(words) < 2 {
		add(t.frame.channel.name)
	}
	if len(words) == 0 {
		var own []string
		for _, c := range t.g.channels {
			if c.kind != chanMaster && c.kind != chanVirtualMaster {
				own = append(own, c.name)
			}
		}
		if len(own) == 1 && own[0] != "" {
			add(own[0])
		} else {
			add("group_" + t.identity()[:6])
		}
	}
	t.Name = distinct(strings.Join(words, "/")+t.g.element, t.identity(), taken)
	taken[t.Name] = true
}

// identity is a hash of what makes the group what it is: names and sources of
// its channels.
func (t *table) identity() string {
	h := sha256.New()
	if s := t.g.acquisition(); s != nil {
		fmt.Fprintf(h, "%s\x00%s\x00", s.name, s.path)
	}
	fmt.Fprintf(h, "%s\x00", t.g.name)
	for _, c := range t.columns {
		fmt.Fprintf(h, "%s\x00", c.field.Name)
		if c.src != nil && c.src.ch != nil && c.src.ch.source != nil {
			fmt.Fprintf(h, "%s\x00%s\x00", c.src.ch.source.name, c.src.ch.source.path)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// distinct returns name, or where that is taken name with a suffix made of
// hash, longer or numbered until it is free.
func distinct(name, hash string, taken map[string]bool) string {
	if !taken[name] {
		return name
	}
	free := name + "_" + hash[:6]
	for n := 2; taken[free]; n++ {
		free = name + "_" + hash[:6] + "_" + strconv.Itoa(n)
	}
	return free
}

// columnName makes name distinct in the table.
func (t *table) columnName(name string, c *channel) string {
	if name == "" {
		name = "channel"
	}
	if !t.taken[name] {
		t.taken[name] = true
		return name
	}
	id := name
	if c.source != nil {
		id += "\x00" + c.source.name + "\x00" + c.source.path
	}
	sum := sha256.Sum256([]byte(id))
	name = distinct(name, hex.EncodeToString(sum[:]), t.taken)
	t.taken[name] = true
	return name
}
