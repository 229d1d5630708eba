// Command decode decodes all tables of a recording and drops the rows, for
// comparisons with other decoders:
//
//	go run ./bench/decode /data/big.mcap
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"github.com/drivemill/drivemill/cmd/builtin"
	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/arrow"
	"github.com/drivemill/drivemill/pipeline/column"
	"github.com/drivemill/drivemill/pipeline/store"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: decode RECORDING")
		os.Exit(2)
	}
	rows, err := decode(context.Background(), os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(rows)
}

// poolBytes is what the pool of buffers may hold idle.
const poolBytes = 64 << 20

func decode(ctx context.Context, path string) (rows int64, err error) {
	path, err = filepath.Abs(path)
	if err != nil {
		return 0, err
	}
	dir, name := filepath.Split(path)
	s, err := store.Open(ctx, dir)
	if err != nil {
		return 0, err
	}
	o, err := s.Stat(ctx, name)
	if err != nil {
		return 0, err
	}
	src, err := s.Open(ctx, o)
	if err != nil {
		return 0, err
	}
	head := make([]byte, min(o.Size, 4<<10))
	if _, err := src.ReadAt(ctx, head, 0); err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	spec, ok := builtin.Registry().Sniff(name, head)
	if !ok {
		return 0, fmt.Errorf("%s is of no format that is read", path)
	}
	d, err := spec.Format.Describe(ctx, src)
	if err != nil {
		return 0, err
	}
	pool := column.NewPool(arrow.NewGoAllocator(), poolBytes)
	dec, err := spec.Format.Open(ctx, src, d, pipeline.Selection{}, pipeline.DecodeOptions{Workers: runtime.GOMAXPROCS(0), Allocator: pool})
	if err != nil {
		return 0, err
	}
	defer dec.Close()
	for {
		el, err := dec.Next(ctx)
		if errors.Is(err, io.EOF) {
			return rows, nil
		}
		if err != nil {
			return rows, err
		}
		if el.Batch != nil {
			rows += int64(el.Batch.Rows())
			el.Batch.Release()
		}
	}
}
