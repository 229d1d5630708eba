package rosbag

import (
	"context"
	"fmt"
	"path"
	"slices"
	"sync"

	"github.com/drivemill/drivemill/pipeline"
)

// partsAtOnce is how many objects of a split bag are looked into at a time.
const partsAtOnce = 8

// readParts reads what is in each object of a recording, and joins it. An
// object that cannot be read costs its own rows, unless it is the only one.
func readParts(ctx context.Context, srcs []pipeline.Source) (*recording, error) {
	if len(srcs) == 1 {
		return readPart(ctx, srcs[0])
	}
	recs := make([]*recording, len(srcs))
	errs := make([]error, len(srcs))
	slots := make(chan struct{}, partsAtOnce)
	var wg sync.WaitGroup
	for i, src := range srcs {
		slots <- struct{}{}
		wg.Go(func() {
			recs[i], errs[i] = readPart(ctx, src)
			<-slots
		})
	}
	wg.Wait()
	all := &recording{indexed: true}
	var first error
	read := 0
	for i, src := range srcs {
		if errs[i] == nil {
			all.join(recs[i], path.Base(src.Object().Key))
			read++
			continue
		}
		d, ok := inFile(errs[i])
		if !ok {
			return nil, errs[i]
		}
		if first == nil {
			first = errs[i]
		}
		all.indexed = false
		all.parts = append(all.parts, part{lost: max(1, src.Object().Size)})
		all.problem("bad_part", d.Offset, true, "%s cannot be read: %v", path.Base(src.Object().Key), d.Err)
	}
	if read == 0 {
		return nil, first
	}
	return all, nil
}

// readPart reads what is in one object.
func readPart(ctx context.Context, src pipeline.Source) (*recording, error) {
	in := newFile(src, headStep)
	start, err := readVersion(ctx, in)
	if err != nil {
		return nil, err
	}
	head, err := readBagHeader(ctx, in, start)
	if err != nil {
		return nil, err
	}
	return readRecording(ctx, in, head)
}

// join adds what is in the next object, called name.
func (r *recording) join(o *recording, name string) {
	at := len(r.parts)
	p := part{byID: make(map[uint32]int, len(o.conns)), lost: o.parts[0].lost}
	for _, c := range o.conns {
		c.part = at
		p.byID[c.id] = len(r.conns)
		r.conns = append(r.conns, c)
	}
	r.parts = append(r.parts, p)
	shift := len(r.counts)
	r.counts = append(r.counts, o.counts...)
	for _, c := range o.chunks {
		c.part = at
		c.countFrom, c.countTo = c.countFrom+shift, c.countTo+shift
		r.chunks = append(r.chunks, c)
	}
	for _, q := range o.problems {
		q.Detail = fmt.Sprintf("%s: %s", name, q.Detail)
		r.problems = append(r.problems, q)
	}
	r.indexed = r.indexed && o.indexed
	for _, c := range o.compression {
		i := slices.IndexFunc(r.compression, func(k pipeline.Compression) bool { return k.Codec == c.Codec })
		if i < 0 {
			r.compression = append(r.compression, c)
			continue
		}
		k := &r.compression[i]
		k.Chunks += c.Chunks
		k.Compressed += c.Compressed
		k.Raw += c.Raw
		k.Estimated = k.Estimated || c.Estimated
	}
}
