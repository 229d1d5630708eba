package mdf4

import (
	"context"

	"github.com/drivemill/drivemill/pipeline"
)

// maxLooks is how many data blocks Describe looks at to find out how they are
// compressed; of a recording of more the sums are those of a sample.
const maxLooks = 64

// compression sums up the data blocks of all groups by codec, the first ones of
// each group where there are many.
func (f *file) compression(ctx context.Context) ([]pipeline.Compression, error) {
	var out []pipeline.Compression
	at := make(map[string]int)
	estimated := false
	streams := 0
	for _, dg := range f.groups {
		if dg.data != 0 {
			streams++
		}
	}
	looks, each := 0, max(1, maxLooks/max(1, streams))
	for _, dg := range f.groups {
		if dg.data == 0 {
			continue
		}
		seg := f.newSegments(f.pages, dg.data)
		if len(dg.groups) > 0 {
			seg.width = dg.groups[0].data
		}
		for n := 0; ; n++ {
			if n > 0 && seg.next == 0 && len(seg.queue) == 0 {
				break
			}
			if n == each || looks == maxLooks {
				estimated = true
				break
			}
			looks++
			s, err := seg.read(ctx)
			if fatal(err) {
				return nil, err
			}
			if err != nil || s.bad != nil {
				break // the decoder tells of it
			}
			if s.zero {
				continue
			}
			codec := codecName(s.zip)
			i, ok := at[codec]
			if !ok {
				i = len(out)
				at[codec] = i
				out = append(out, pipeline.Compression{Codec: codec})
			}
			out[i].Chunks++
			out[i].Compressed += s.stored
			out[i].Raw += s.raw
		}
	}
	for i := range out {
		out[i].Estimated = estimated
	}
	return out, nil
}
