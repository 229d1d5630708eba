package drivestats

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"time"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/store"
)

// input is the decompressed text of an object.
type input struct {
	io.ReadCloser
	codec  string
	object io.Closer
}

// open starts reading an object from its beginning.
func open(ctx context.Context, src pipeline.Source) (*input, error) {
	rc, err := src.Reader(ctx, 0, -1)
	if err != nil {
		return nil, fmt.Errorf("opening: %w", err)
	}
	text, codec, err := store.Decompress(src.Object().URI, rc)
	if err != nil {
		rc.Close()
		if errors.Is(err, io.EOF) {
			err = fmt.Errorf("the compressed stream ends early: %w", pipeline.ErrTruncated)
		}
		return nil, err
	}
	return &input{text, codec, rc}, nil
}

// look is open for whoever needs the header and the first row only: where they
// lie in the first bytes, nothing else is read.
func look(ctx context.Context, src pipeline.Source) (*input, error) {
	obj := src.Object()
	head := make([]byte, min(obj.Size, 8<<10))
	n, err := src.ReadAt(ctx, head, 0)
	if err != nil && (!errors.Is(err, io.EOF) || n < len(head)) {
		return nil, fmt.Errorf("opening: %w", err)
	}
	text, codec, err := store.Decompress(obj.URI, bytes.NewReader(head))
	if err == nil {
		if codec == "none" && len(bytes.Trim(head[lineEnd(head):], "\r\n")) > 0 {
			return &input{text, codec, io.NopCloser(nil)}, nil
		}
		text.Close()
	}
	return open(ctx, src)
}

// damaged reports whether reading failed because of the bytes, and not because
// of the store that has them.
func damaged(err error) bool {
	var d *pipeline.DecodeError
	return errors.As(err, &d)
}

func (in *input) Close() error {
	return errors.Join(in.ReadCloser.Close(), in.object.Close())
}

var dayName = regexp.MustCompile(`^(\d{4}-\d\d-\d\d)\.csv(\.gz|\.zst)?$`)

// dayOf returns the day an object is named for, counted from 1970.
func dayOf(name string) (day int32, ok bool) {
	m := dayName.FindStringSubmatch(path.Base(name))
	if m == nil {
		return 0, false
	}
	t, err := time.Parse(time.DateOnly, m[1])
	if err != nil {
		return 0, false
	}
	return int32(t.Unix() / 86400), true
}

// dateString spells a day.
func dateString(day int32) string {
	return time.Unix(int64(day)*86400, 0).UTC().Format(time.DateOnly)
}
