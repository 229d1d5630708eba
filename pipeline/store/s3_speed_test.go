//go:build soak

package store_test

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// Through connections of 60 MB/s and 20 ms each, a reader and a ReadAt come
// close to the best plain copy by ranges. It prints both; no time fails it.
func TestS3ReadSpeed(t *testing.T) {
	const size, rate, latency = 256 << 20, 60e6, 20 * time.Millisecond
	p, s := behindProxy(t)
	data := random(size)
	write(t, s, "x", data)
	src := source(t, s, "x")
	cfg, err := config.LoadDefaultConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	client := s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true; o.DisableLogOutputChecksumValidationSkipped = true })
	p.Throttle(rate, latency)
	got := make([]byte, size)
	plain := func(rangeSize, connections int64) float64 {
		begin := time.Now()
		var next atomic.Int64
		var wg sync.WaitGroup
		for range connections {
			wg.Go(func() {
				for {
					from := (next.Add(1) - 1) * rangeSize
					if from >= size {
						return
					}
					to := min(from+rangeSize, size)
					out, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &p.Bucket, Key: aws.String("x"), Range: aws.String(fmt.Sprintf("bytes=%d-%d", from, to-1))})
					if err != nil {
						t.Error(err)
						return
					}
					_, err = io.ReadFull(out.Body, got[from:to])
					out.Body.Close()
					if err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		return size / 1e6 / time.Since(begin).Seconds()
	}
	reader := func() float64 {
		begin := time.Now()
		r, err := src.Reader(t.Context(), 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if _, err := io.ReadFull(r, got); err != nil {
			t.Fatal(err)
		}
		return size / 1e6 / time.Since(begin).Seconds()
	}
	readAt := func() float64 {
		begin := time.Now()
		if _, err := src.ReadAt(t.Context(), got, 0); err != nil {
			t.Fatal(err)
		}
		return size / 1e6 / time.Since(begin).Seconds()
	}
	// In turn, and the best of each: the machine has other things to do.
	ways := []struct {
		name string
		own  bool
		run  func() float64
		best float64
	}{
		{"plain,  4 connections, 8 MiB", false, func() float64 { return plain(8<<20, 4) }, 0},
		{"plain,  8 connections, 8 MiB", false, func() float64 { return plain(8<<20, 8) }, 0},
		{"plain,  8 connections, 16 MiB", false, func() float64 { return plain(16<<20, 8) }, 0},
		{"plain, 16 connections, 8 MiB", false, func() float64 { return plain(8<<20, 16) }, 0},
		{"Reader", true, reader, 0},
		{"ReadAt", true, readAt, 0},
	}
	best := 0.0
	for range 3 {
		for i := range ways {
			w := &ways[i]
			clear(got)
			w.best = max(w.best, w.run())
			if !bytes.Equal(got, data) {
				t.Errorf("%s: other bytes", w.name)
			}
			if !w.own {
				best = max(best, w.best)
			}
		}
	}
	for _, w := range ways {
		t.Logf("%-30s %4.0f MB/s, %.2f of the best plain copy", w.name, w.best, w.best/best)
	}
}
