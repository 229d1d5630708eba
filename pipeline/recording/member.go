package recording

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/store"
)

func isZip(key string) bool { return strings.EqualFold(path.Ext(key), ".zip") }

// zipOf cuts the key of a member into that of its zip and its name there.
func zipOf(key string) (zip, name string, ok bool) {
	for at := 0; ; {
		i := strings.Index(key[at:], store.MemberMark)
		if i < 0 {
			return "", "", false
		}
		at += i
		if isZip(key[:at]) {
			return key[:at], key[at+len(store.MemberMark):], true
		}
		at += len(store.MemberMark)
	}
}

// findMembers lists the members of a zip that have the name of a recording.
func findMembers(ctx context.Context, reg *pipeline.Registry, st pipeline.Store, obj pipeline.Object, opt Options) ([]*Recording, error) {
	src, err := st.Open(ctx, obj)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", obj.URI, err)
	}
	z, err := store.OpenZip(ctx, src)
	if err != nil {
		return nil, err
	}
	var out []*Recording
	for _, m := range z.Members() {
		_, name, _ := zipOf(m.Key)
		ok, why := store.SafeMember(name)
		if ok && !namesRecording(reg, name) {
			ok, why = false, "no format has files of that name"
		}
		if !ok {
			if opt.Skipped != nil {
				opt.Skipped(m.URI, why)
			}
			continue
		}
		if opt.Keep == nil || opt.Keep(m) {
			out = append(out, &Recording{URI: m.URI, Objects: []pipeline.Object{m}, store: st, zip: z})
		}
	}
	return out, nil
}

// findMember finds the member of a zip that somebody names, whatever it is; nil
// when the key is not one of a member.
func findMember(ctx context.Context, st pipeline.Store, key string) ([]*Recording, error) {
	if _, _, ok := zipOf(key); !ok {
		return nil, nil
	}
	r := &Recording{store: st, Captures: map[string]string{}}
	if _, err := r.openObject(ctx, pipeline.Object{Key: key}); r.zip == nil {
		return nil, err
	}
	obj, err := r.stat(ctx, key)
	if err != nil {
		return nil, err
	}
	r.URI, r.Objects = obj.URI, []pipeline.Object{obj}
	return []*Recording{r}, nil
}

// namesRecording tells recordings from notes and pictures by their ending. A
// zip inside a zip is not looked into.
func namesRecording(reg *pipeline.Registry, name string) bool {
	base := path.Base(name)
	for _, f := range reg.Formats() {
		for _, ext := range f.Extensions {
			if strings.HasSuffix(base, "."+ext) {
				return true
			}
		}
	}
	return slices.ContainsFunc(reg.Formats(), func(f pipeline.FormatSpec) bool { return len(f.Extensions) == 0 && f.Format.Sniff(name, nil) })
}

// openObject opens an object of the store, or a member of a zip there.
func (r *Recording) openObject(ctx context.Context, obj pipeline.Object) (pipeline.Source, error) {
	zip, _, ok := zipOf(obj.Key)
	if !ok {
		return r.store.Open(ctx, obj)
	}
	if r.zip == nil {
		outer, err := r.store.Stat(ctx, zip)
		if err != nil {
			return nil, err
		}
		src, err := r.store.Open(ctx, outer)
		if err != nil {
			return nil, err
		}
		if r.zip, err = store.OpenZip(ctx, src); err != nil {
			return nil, err
		}
	}
	return r.zip.Open(obj)
}

// stat looks an object up in the store, or in the zip that holds the recording.
func (r *Recording) stat(ctx context.Context, key string) (pipeline.Object, error) {
	if _, _, ok := zipOf(key); !ok || r.zip == nil {
		return r.store.Stat(ctx, key)
	}
	for _, m := range r.zip.Members() {
		if m.Key == key {
			return m, nil
		}
	}
	return pipeline.Object{}, fmt.Errorf("%s: the zip has no such member: %w", key, pipeline.ErrNotFound)
}
