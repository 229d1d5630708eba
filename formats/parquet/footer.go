package parquet

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go/format"

	"github.com/drivemill/drivemill/pipeline"
)

// magic begins and ends a file.
const magic = "PAR1"

// maxFooter bounds the metadata that is read.
const maxFooter = 256 << 20

// firstTail is how much of the end of a file is read at once.
const firstTail = 64 << 10

// parseFooter reads the metadata at the end of a file, of which tail is the
// last part. Where that is too short, missing says how much is needed.
func parseFooter(tail []byte) (meta *format.FileMetaData, missing int64, err error) {
	if len(tail) < 8 {
		return nil, 0, fmt.Errorf("%d bytes are no Parquet file: %w", len(tail), pipeline.ErrTruncated)
	}
	switch string(tail[len(tail)-4:]) {
	case magic:
	case "PARE":
		return nil, 0, fmt.Errorf("encrypted footer: %w", pipeline.ErrUnsupported)
	default:
		return nil, 0, fmt.Errorf("no %s at the end: %w", magic, pipeline.ErrTruncated)
	}
	n := int64(binary.LittleEndian.Uint32(tail[len(tail)-8:]))
	if n > maxFooter {
		return nil, 0, fmt.Errorf("a footer of %d bytes: %w", n, pipeline.ErrLimit)
	}
	if n+8 > int64(len(tail)) {
		return nil, n + 8, nil
	}
	body := tail[int64(len(tail))-8-n : len(tail)-8]
	size, err := measure(body)
	if errors.Is(err, errShort) {
		err = errThrift
	}
	if err != nil {
		return nil, 0, fmt.Errorf("reading the footer: %w", err)
	}
	meta = new(format.FileMetaData)
	if err := unmarshal(body[:size], meta); err != nil {
		return nil, 0, fmt.Errorf("reading the footer: %w", err)
	}
	return meta, 0, nil
}

// readFooter reads the metadata of an object.
func readFooter(ctx context.Context, src pipeline.Source) (*format.FileMetaData, error) {
	size := src.Object().Size
	want := min(size, firstTail)
	for {
		tail := make([]byte, want)
		if err := readFull(ctx, src, tail, size-want); err != nil {
			return nil, fmt.Errorf("reading the footer: %w", err)
		}
		meta, missing, err := parseFooter(tail)
		if err != nil || missing == 0 {
			return meta, err
		}
		if missing > size-int64(len(magic)) {
			return nil, fmt.Errorf("a footer of %d bytes in a file of %d: %w", missing-8, size, pipeline.ErrTruncated)
		}
		want = missing
	}
}

// readFull fills b from offset off.
func readFull(ctx context.Context, src pipeline.Source, b []byte, off int64) error {
	n, err := src.ReadAt(ctx, b, off)
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return fmt.Errorf("%d bytes at %d where %d were expected: %w", n, off, len(b), pipeline.ErrTruncated)
	}
	return err
}
