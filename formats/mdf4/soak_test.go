//go:build soak

package mdf4

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/drivemill/drivemill/formats/mdf4/mdf4test"
	"github.com/drivemill/drivemill/pipeline"
)

// chained is a recording of size bytes whose records lie in data blocks of 4 MiB
// in lists of 64, none of which exists before it is read.
func chained(size int64) *long {
	const (
		block = 4 << 20
		links = 64
		row   = 16
	)
	g := &mdf4test.Group{Name: "g", Channels: []*mdf4test.Channel{seconds(), {Name: "x", Data: mdf4test.UnsignedLE, Byte: 8, Bits: 32}, {Name: "y", Data: mdf4test.FloatLE, Byte: 12, Bits: 32}},
		Records: [][]byte{make([]byte, row)}}
	f := &mdf4test.File{StartNS: 1e18, Groups: []*mdf4test.DataGroup{{Groups: []*mdf4test.Group{g}}}}
	head := f.Bytes()
	// A list, with its data blocks behind it.
	const list = 24 + 8*(1+links) + 16
	const stored = (24 + block + 7) &^ 7
	const span = list + links*stored
	lists := max(1, size/(links*block))
	for at := 64; at+24 <= len(head); at += 8 {
		switch string(head[at : at+4]) {
		case "##CG":
			n := int(binary.LittleEndian.Uint64(head[at+16:]))
			binary.LittleEndian.PutUint64(head[at+24+8*n+8:], uint64(lists*links*block/row))
		case "##DG":
			binary.LittleEndian.PutUint64(head[at+24+16:], uint64((len(head)+7)&^7))
		}
	}
	for len(head)%8 != 0 {
		head = append(head, 0)
	}
	start := int64(len(head))
	l := &long{head: head, size: start + lists*span}
	describe := func(k int64) []byte {
		at := start + k*span
		next := at + span
		if k == lists-1 {
			next = 0
		}
		b := mdf4test.LE("##DL", uint32(0), uint64(list), uint64(1+links), next)
		for i := range int64(links) {
			b = append(b, mdf4test.LE(at+list+i*stored)...)
		}
		return append(b, mdf4test.LE(uint32(1), uint32(links), uint64(block))...)
	}
	dt := mdf4test.LE("##DT", uint32(0), uint64(24+block), uint64(0))
	l.fill = func(b []byte, off int64) {
		for len(b) > 0 {
			k, in := (off-start)/span, (off-start)%span
			var n int
			if in < list {
				n = copy(b, describe(k)[in:])
			} else if in = (in - list) % stored; in < 24 {
				n = copy(b, dt[in:])
			} else {
				n = int(min(int64(len(b)), stored-in))
				clear(b[:n])
			}
			b, off = b[n:], off+int64(n)
		}
	}
	return l
}

// Memory of a recording of 20 GB is that of one of 200 MB.
func TestSoakMemory(t *testing.T) {
	all := func(*pipeline.Description) pipeline.Selection { return pipeline.Selection{} }
	var peaks []uint64
	for _, size := range []int64{200e6, 20e9} {
		began := time.Now()
		l := chained(size)
		most, rows := peak(t, l, all)
		t.Logf("%.1f GB, %d rows: peak of live heap %.1f MB, %d requests, %.1f GB read, %.0f s", float64(l.size)/1e9, rows, float64(most)/1e6, l.requests.Load(),
			float64(l.bytes.Load())/1e9, time.Since(began).Seconds())
		if rows*16 < size*9/10 {
			t.Errorf("%d rows", rows)
		}
		peaks = append(peaks, most)
	}
	if peaks[1] > peaks[0]+16<<20 {
		t.Errorf("peaks %v", peaks)
	}
}

// A million files with hostile numbers: MUTATIONS changes how many. One that is
// survived badly is kept in testdata/fuzz/FuzzRead.
func TestSoakMutations(t *testing.T) {
	total := 1_000_000
	if s := os.Getenv("MUTATIONS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		total = n
	}
	all := seeds()
	if data, err := os.ReadFile("../../testdata/mdf4/can.mf4"); err == nil && len(data) < 64<<10 {
		all = append(all, data)
	}
	var wg sync.WaitGroup
	var done atomic.Int64
	const workers = 4
	for w := range workers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			rnd := rand.New(rand.NewPCG(uint64(w), 11))
			for i := range total / workers {
				data := mutated(rnd, all[i%len(all)])
				began := time.Now()
				func() {
					defer func() {
						if r := recover(); r != nil {
							t.Errorf("panic: %v", r)
						}
					}()
					survive(t, data)
				}()
				if n := done.Add(1); n%50_000 == 0 {
					t.Logf("%d files", n)
				}
				if took := time.Since(began); took > 20*time.Second || t.Failed() {
					name := filepath.Join("testdata", "fuzz", "FuzzRead", fmt.Sprintf("mutation-%d-%d", w, i))
					os.MkdirAll(filepath.Dir(name), 0o755)
					os.WriteFile(name, []byte("go test fuzz v1\n[]byte("+strconv.Quote(string(data))+")\n"), 0o644)
					t.Errorf("kept %s, which took %v", name, took)
					return
				}
			}
		}()
	}
	wg.Wait()
	t.Logf("%d files in all", done.Load())
}
