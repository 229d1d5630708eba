package rosbag2

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/store"
)

// spilled is the unpacked content of a storage file that is compressed as a
// whole. It can be read at any offset, which the compressed one cannot: small
// content is held in memory, other content in a temporary file without a name.
type spilled struct {
	obj  pipeline.Object
	mem  []byte
	file *os.File
	// cut is why unpacking ended early; what came before can be read.
	cut error
}

// spill unpacks src into dir, or the system's folder for temporary files where
// dir is empty. Failures of the source and of the disk are errors.
func (f *Format) spill(ctx context.Context, src pipeline.Source) (*spilled, error) {
	rc, err := src.Reader(ctx, 0, -1)
	if err != nil {
		return nil, err
	}
	defer rc.Close()
	z, codec, err := store.Decompress(src.Object().URI, rc)
	if err != nil {
		return nil, err
	}
	defer z.Close()
	if codec != "zstd" {
		return nil, fmt.Errorf("the file is not compressed with zstd: %w", pipeline.ErrCorrupt)
	}
	s := &spilled{obj: src.Object()}
	var buf bytes.Buffer
	n, err := io.Copy(&buf, io.LimitReader(z, f.Limits.memory()))
	if err == nil && n == f.Limits.memory() {
		err = s.toFile(&buf, io.LimitReader(z, f.Limits.unpacked()-n+1), f.spillDir)
		if err == nil && s.obj.Size > f.Limits.unpacked() {
			err = fmt.Errorf("it unpacks to more than %d bytes: %w", f.Limits.unpacked(), pipeline.ErrLimit)
		}
	} else {
		s.mem, s.obj.Size = buf.Bytes(), n
	}
	if err != nil {
		var damage *pipeline.DecodeError
		if !errors.As(err, &damage) || s.obj.Size == 0 {
			s.Close()
			return nil, err
		}
		s.cut = damage.Err
	}
	return s, nil
}

// toFile writes what is in head and follows in r to a temporary file.
func (s *spilled) toFile(head *bytes.Buffer, r io.Reader, dir string) error {
	file, err := os.CreateTemp(dir, "drivemill-*.spill")
	if err != nil {
		return fmt.Errorf("spilling: %w", err)
	}
	s.file = file
	// Without its name the file goes with the process.
	if err := os.Remove(file.Name()); err != nil {
		return fmt.Errorf("spilling: %w", err)
	}
	n, err := head.WriteTo(file)
	if err != nil {
		return fmt.Errorf("spilling: %w", err)
	}
	m, err := io.Copy(file, r)
	s.obj.Size = n + m
	return err
}

func (s *spilled) Object() pipeline.Object { return s.obj }

func (s *spilled) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	return s.at().ReadAt(p, off)
}

func (s *spilled) at() io.ReaderAt {
	if s.file != nil {
		return s.file
	}
	return bytes.NewReader(s.mem)
}

func (s *spilled) Reader(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	if n < 0 || n > s.obj.Size-off {
		n = s.obj.Size - off
	}
	return io.NopCloser(io.NewSectionReader(s.at(), off, n)), ctx.Err()
}

// Close frees the memory or the file.
func (s *spilled) Close() {
	s.mem = nil
	if s.file != nil {
		s.file.Close()
	}
}
