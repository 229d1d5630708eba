package store

import (
	"errors"
	"fmt"
	"strings"

	"github.com/drivemill/drivemill/pipeline"
)

// tempArea is where directories keep objects that are being written.
const tempArea = "_drivemill/tmp"

// maxSmall bounds what Get reads into memory.
const maxSmall = 64 << 20

// checkKey refuses keys that no object can be written under in one of the
// stores, so that all of them refuse the same.
func checkKey(key string) error {
	switch {
	case key == "":
		return errors.New("empty key")
	case strings.IndexFunc(key, isControl) >= 0:
		return fmt.Errorf("key %q has a control character", key)
	case strings.Contains(key, `\`):
		return fmt.Errorf("key %q has a backslash, which some systems take for a slash", key)
	case key == tempArea || strings.HasPrefix(key, tempArea+"/"):
		return fmt.Errorf("key %q lies in %s/, which belongs to the store", key, tempArea)
	}
	for segment := range strings.SplitSeq(key, "/") {
		switch segment {
		case "":
			return fmt.Errorf("key %q has an empty segment", key)
		case ".", "..":
			return fmt.Errorf("key %q has a segment %q", key, segment)
		}
	}
	return nil
}

func isControl(r rune) bool { return r < 0x20 || r == 0x7f }

// span checks a range of an object and cuts it at the object's end.
func span(obj pipeline.Object, off, n int64) (int64, error) {
	if off < 0 {
		return 0, fmt.Errorf("reading %s: negative offset %d", obj.URI, off)
	}
	left := max(obj.Size-off, 0)
	if n < 0 || n > left {
		return left, nil
	}
	return n, nil
}

// checkSmall refuses to read a big object into memory.
func checkSmall(uri string, size int64) error {
	if size < 0 || size > maxSmall {
		return fmt.Errorf("reading %s whole: %d bytes: %w of %d", uri, size, pipeline.ErrLimit, maxSmall)
	}
	return nil
}
