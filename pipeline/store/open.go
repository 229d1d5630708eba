package store

import (
	"context"
	"fmt"
	"strings"

	"github.com/drivemill/drivemill/pipeline"
)

const schemes = "s3://bucket/prefix, file:///directory, mem://name, or a plain path"

// Open returns the store at uri. It asks nothing of the network or the disk: a
// bucket that does not exist shows at first use, and a directory that does not
// exist yet is empty and is created at the first write.
func Open(ctx context.Context, uri string) (pipeline.Store, error) {
	loc, err := parseURI(uri)
	if err != nil {
		return nil, fmt.Errorf("opening store: %w", err)
	}
	switch loc.scheme {
	case "s3":
		return openS3(ctx, loc.host, strings.TrimRight(loc.path, "/"))
	case "mem":
		return openMemory(loc.host, strings.TrimRight(loc.path, "/")), nil
	default:
		return openDirectory(loc.path), nil
	}
}

// Split cuts the URI of one object into the URI of a store and the key of the
// object in it. The URI is taken literally: no character is a wildcard.
func Split(uri string) (root, key string, err error) {
	loc, err := parseURI(uri)
	if err != nil {
		return "", "", err
	}
	root, key = loc.split(len(loc.path))
	if key == "" {
		return "", "", fmt.Errorf("%q names no object", uri)
	}
	return root, key, nil
}

// location is a URI taken apart. For directories host is empty and path is
// the path in the file system; otherwise path has no leading slash.
type location struct {
	scheme string // s3, mem, or file also for plain paths
	host   string // bucket, or name of a memory store
	path   string
	start  int // byte at which path begins in the URI
}

func parseURI(uri string) (location, error) {
	if uri == "" {
		return location{}, &PatternError{uri, 0, "empty URI"}
	}
	scheme, rest, found := strings.Cut(uri, "://")
	if !found {
		return location{scheme: "file", path: uri}, nil
	}
	if pipeline.HoldsSecret(uri) {
		return location{}, &PatternError{uri, 0, "the URI holds credentials; leave them to the environment or to the AWS configuration"}
	}
	start := len(scheme) + len("://")
	switch scheme {
	case "file":
		if local, ok := strings.CutPrefix(rest, "localhost/"); ok {
			start += len("localhost")
			rest = "/" + local
		}
		if !strings.HasPrefix(rest, "/") {
			return location{}, &PatternError{uri, start, "a file URI needs an absolute path: file:///directory"}
		}
		return location{scheme: "file", path: rest, start: start}, nil
	case "s3", "mem":
		host, path, _ := strings.Cut(rest, "/")
		if host == "" {
			what := "bucket"
			if scheme == "mem" {
				what = "name"
			}
			return location{}, &PatternError{uri, start, "no " + what + " after " + scheme + "://"}
		}
		return location{scheme: scheme, host: host, path: path, start: start + len(host) + 1}, nil
	}
	return location{}, &PatternError{uri, 0, fmt.Sprintf("unknown scheme %q (known are %s)", scheme, schemes)}
}

// split cuts the path after its last slash before position end: into the URI
// of a store and the rest, a key.
func (l location) split(end int) (root, rest string) {
	if i := strings.Index(strings.ToLower(l.path[:end]), ".zip"+MemberMark); i >= 0 {
		end = i // the zip is the object, whatever its members are called
	}
	cut := strings.LastIndexByte(l.path[:end], '/') + 1
	rest = l.path[cut:]
	dir := l.path[:cut]
	if l.scheme != "file" {
		root = l.scheme + "://" + l.host
		if dir = strings.TrimRight(dir, "/"); dir != "" {
			root += "/" + dir
		}
		return root, rest
	}
	switch trimmed := strings.TrimRight(dir, "/"); {
	case trimmed != "":
		return trimmed, rest
	case dir != "":
		return "/", rest
	default:
		return ".", rest
	}
}
