package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"syscall"

	"github.com/drivemill/drivemill/pipeline"
)

// directory is a store in the file system. It holds no file open between
// calls; whatever writes opens the root anew as an os.Root, which no path and
// no symbolic link can leave.
type directory struct{ root string }

func openDirectory(p string) *directory { return &directory{filepath.Clean(p)} }

func (d *directory) Root() string { return d.root }

func (d *directory) path(key string) string { return filepath.Join(d.root, filepath.FromSlash(key)) }

func (d *directory) object(key string, info fs.FileInfo) pipeline.Object {
	return pipeline.Object{URI: d.path(key), Key: key, Size: info.Size(), ETag: fileTag(info), Modified: info.ModTime().UTC()}
}

// fileTag identifies the content of a file as well as a file system can tell.
func fileTag(info fs.FileInfo) string {
	return strconv.FormatInt(info.Size(), 10) + "-" + strconv.FormatInt(info.ModTime().UnixNano(), 10)
}

func (d *directory) List(ctx context.Context, prefix string, fn func(pipeline.Object) error) error {
	base := prefix[:strings.LastIndexByte(prefix, '/')+1]
	if base != "" && checkKey(strings.TrimSuffix(base, "/")) != nil {
		return nil // no key begins like that
	}
	if info, err := os.Stat(d.root); err == nil && !info.IsDir() {
		return fmt.Errorf("listing %s: not a directory", d.root)
	}
	return d.walk(ctx, base, prefix, fn)
}

// walk lists the keys below rel, which is empty or ends in a slash. A
// directory sorts as its name with a slash, which is where its keys belong.
func (d *directory) walk(ctx context.Context, rel, prefix string, fn func(pipeline.Object) error) error {
	names, err := d.names(rel)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		key := rel + name
		below := strings.HasSuffix(name, "/")
		switch {
		case !strings.HasPrefix(key, prefix) && (!below || !strings.HasPrefix(prefix, key)):
		case key == tempArea+"/":
		case below:
			if err := d.walk(ctx, key, prefix, fn); err != nil {
				return err
			}
		default:
			info, err := os.Stat(d.path(key))
			if errors.Is(err, fs.ErrNotExist) {
				continue // deleted since the directory was read
			}
			if err != nil {
				return fileError("listing", d.path(key), err)
			}
			if err := fn(d.object(key, info)); err != nil {
				return err
			}
		}
	}
	return nil
}

// names returns what is in a directory, sorted: regular files, and directories
// with a slash, also behind symbolic links. One that is not there is empty.
func (d *directory) names(rel string) ([]string, error) {
	dir := d.path(rel)
	f, err := os.Open(dir)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
			return nil, nil
		}
		return nil, fileError("listing", dir, err)
	}
	entries, err := f.ReadDir(-1)
	f.Close()
	if err != nil {
		if errors.Is(err, syscall.ENOTDIR) {
			return nil, nil
		}
		return nil, fileError("listing", dir, err)
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		mode := e.Type()
		if mode&fs.ModeSymlink != 0 {
			info, err := os.Stat(filepath.Join(dir, e.Name()))
			if err != nil {
				if _, gone := os.Lstat(filepath.Join(dir, e.Name())); gone != nil {
					continue
				}
				return nil, fileError("listing: following the symbolic link", filepath.Join(dir, e.Name()), err)
			}
			if info.IsDir() && d.loops(rel, info) {
				continue // its keys are listed already, under shorter names
			}
			mode = info.Mode().Type()
		}
		switch {
		case mode.IsDir():
			names = append(names, e.Name()+"/")
		case mode.IsRegular():
			names = append(names, e.Name())
		}
	}
	sort.Strings(names)
	return names, nil
}

// loops reports whether dir is the directory rel or one above it.
func (d *directory) loops(rel string, dir fs.FileInfo) bool {
	for {
		if info, err := os.Stat(d.path(rel)); err == nil && os.SameFile(info, dir) {
			return true
		}
		if rel == "" {
			return false
		}
		rel = rel[:strings.LastIndexByte(rel[:len(rel)-1], '/')+1]
	}
}

func (d *directory) Stat(_ context.Context, key string) (pipeline.Object, error) {
	if err := checkKey(key); err != nil {
		return pipeline.Object{}, fmt.Errorf("looking up in %s: %w", d.root, err)
	}
	info, err := os.Stat(d.path(key))
	switch {
	case err != nil:
		return pipeline.Object{}, fileError("looking up", d.path(key), err)
	case info.IsDir():
		return pipeline.Object{}, fmt.Errorf("looking up %s: %w: it is a directory; name the files in it, as in %s/**", d.path(key), pipeline.ErrNotFound, d.path(key))
	case !info.Mode().IsRegular():
		return pipeline.Object{}, fmt.Errorf("looking up %s: %w: it is not a regular file", d.path(key), pipeline.ErrNotFound)
	}
	return d.object(key, info), nil
}

func (d *directory) Open(_ context.Context, obj pipeline.Object) (pipeline.Source, error) {
	if err := checkKey(obj.Key); err != nil {
		return nil, fmt.Errorf("opening in %s: %w", d.root, err)
	}
	return &fileSource{path: d.path(obj.Key), obj: obj}, nil
}

func (d *directory) Get(ctx context.Context, key string) ([]byte, error) {
	// A replacement between the two steps shows as a change: look again.
	for try := 1; ; try++ {
		obj, err := d.Stat(ctx, key)
		if err != nil {
			return nil, err
		}
		if err := checkSmall(obj.URI, obj.Size); err != nil {
			return nil, err
		}
		data := make([]byte, obj.Size)
		src := fileSource{path: d.path(key), obj: obj}
		_, err = src.ReadAt(ctx, data, 0)
		if err == nil || try == raceTries || !errors.Is(err, pipeline.ErrChanged) {
			return data, err
		}
	}
}

// fileSource opens the file for every call: a Source is never closed, and a
// file that was replaced must be noticed.
type fileSource struct {
	path string
	obj  pipeline.Object
}

func (s *fileSource) Object() pipeline.Object { return s.obj }

func (s *fileSource) open() (*os.File, error) {
	f, err := os.Open(s.path)
	if err != nil {
		return nil, fileError("opening", s.path, err)
	}
	if err := s.check(f); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// check fails when f is no longer the object that was described.
func (s *fileSource) check(f *os.File) error {
	if s.obj.ETag == "" {
		return nil
	}
	info, err := f.Stat()
	if err != nil {
		return fileError("reading", s.path, err)
	}
	if tag := fileTag(info); tag != s.obj.ETag {
		return fmt.Errorf("reading %s: %w (size-mtime was %s, is %s)", s.path, pipeline.ErrChanged, s.obj.ETag, tag)
	}
	return nil
}

func (s *fileSource) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	want, err := span(s.obj, off, int64(len(p)))
	if err != nil {
		return 0, err
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	f, err := s.open()
	if err != nil {
		return 0, err
	}
	defer f.Close()
	n, err := f.ReadAt(p[:want], off)
	if changed := s.check(f); changed != nil {
		return 0, changed
	}
	switch {
	case int64(n) < want && errors.Is(err, io.EOF):
		return n, fmt.Errorf("reading %s: %w at %d, expected %d bytes", s.path, pipeline.ErrTruncated, off+int64(n), s.obj.Size)
	case int64(n) < want:
		return n, fileError("reading", s.path, err)
	case n < len(p):
		return n, io.EOF
	}
	return n, nil
}

func (s *fileSource) Reader(ctx context.Context, off, n int64) (io.ReadCloser, error) {
	n, err := span(s.obj, off, n)
	if err != nil {
		return nil, err
	}
	f, err := s.open()
	if err != nil {
		return nil, err
	}
	return &fileReader{src: s, f: f, off: off, end: off + n, done: ctx.Err}, nil
}

type fileReader struct {
	src      *fileSource
	f        *os.File
	off, end int64
	done     func() error // the error of the context the reader was made with
}

func (r *fileReader) Read(p []byte) (int, error) {
	if err := r.done(); err != nil {
		return 0, err
	}
	if r.off >= r.end {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), r.end-r.off)]
	n, err := r.f.ReadAt(p, r.off)
	if changed := r.src.check(r.f); changed != nil {
		return 0, changed
	}
	r.off += int64(n)
	switch {
	case n == len(p):
		return n, nil
	case errors.Is(err, io.EOF):
		return n, fmt.Errorf("reading %s: %w at %d, expected %d bytes", r.src.path, pipeline.ErrTruncated, r.off, r.src.obj.Size)
	}
	return n, fileError("reading", r.src.path, err)
}

func (r *fileReader) Close() error { return r.f.Close() }

// fileError says what failed on which path, and of which kind it is.
func fileError(doing, name string, err error) error {
	var pe *fs.PathError
	var le *os.LinkError
	switch {
	case errors.As(err, &pe):
		err = pe.Err
	case errors.As(err, &le):
		err = le.Err
	}
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("%s %s: %w", doing, name, pipeline.ErrNotFound)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s %s: %w: %w", doing, name, pipeline.ErrDenied, err)
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE), errors.Is(err, syscall.ESTALE),
		errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.ETIMEDOUT), errors.Is(err, syscall.EBUSY):
		return pipeline.Transient(fmt.Errorf("%s %s: %w", doing, name, err))
	}
	return fmt.Errorf("%s %s: %w", doing, name, err)
}

func (d *directory) Delete(_ context.Context, key string) error {
	if err := checkKey(key); err != nil {
		return fmt.Errorf("deleting in %s: %w", d.root, err)
	}
	root, err := os.OpenRoot(d.root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fileError("deleting", d.path(key), err)
	}
	defer root.Close()
	name := filepath.FromSlash(key)
	info, err := root.Lstat(name)
	if err == nil && !info.IsDir() {
		err = root.Remove(name)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
		return fileError("deleting", d.path(key), err)
	}
	for dir := path.Dir(key); dir != "."; dir = path.Dir(dir) {
		info, err := root.Lstat(filepath.FromSlash(dir))
		if errors.Is(err, fs.ErrNotExist) {
			continue // another deleter was faster
		}
		if err != nil || !info.IsDir() || root.Remove(filepath.FromSlash(dir)) != nil {
			break
		}
	}
	return nil
}
