package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"syscall"

	"github.com/drivemill/drivemill/pipeline"
)

// fileBuffer is how much of an object is kept before a file is opened for it,
// so that a lake of thousands of small tables does not need a descriptor each.
const fileBuffer = 64 << 10

// raceTries is how often a write is repeated because a parent directory that
// was just made is gone: a delete of its last object may come in between.
const raceTries = 100

func (d *directory) Create(_ context.Context, key string) (pipeline.ObjectWriter, error) {
	if err := checkNewKey(key); err != nil {
		return nil, fmt.Errorf("creating in %s: %w", d.root, err)
	}
	return &fileWriter{dir: d, key: key}, nil
}

func (d *directory) Put(ctx context.Context, key string, data []byte) error {
	return writeSmall(ctx, d, key, data)
}

func (d *directory) PutIfAbsent(ctx context.Context, key string, data []byte) error {
	if err := checkNewKey(key); err != nil {
		return fmt.Errorf("creating in %s: %w", d.root, err)
	}
	// Spare the work where the answer is known; the link below decides.
	if _, err := os.Lstat(d.path(key)); err == nil {
		return fmt.Errorf("creating %s: %w", d.path(key), pipeline.ErrExists)
	}
	w := &fileWriter{dir: d, key: key, exclusive: true}
	_, err := w.Write(data)
	if err == nil {
		if err = w.Finish(ctx); err == nil {
			err = w.Publish(ctx)
		}
	}
	return errors.Join(err, w.Abort(ctx))
}

// fileWriter writes a file under a temporary name.
type fileWriter struct {
	dir       *directory
	key       string
	exclusive bool // link instead of rename
	buf       []byte
	f         *os.File
	temp      string // slash separated, relative to the root; empty before the file is made
	err       error
	state     writerState
}

func (w *fileWriter) uri() string { return w.dir.path(w.key) }

func (w *fileWriter) Write(p []byte) (int, error) {
	switch {
	case w.state != writing:
		return 0, misuse(w.uri(), "write", w.state)
	case w.err != nil:
		return 0, w.err
	case len(w.buf)+len(p) <= fileBuffer:
		w.buf = append(w.buf, p...)
		return len(p), nil
	}
	if w.err = w.flush(); w.err != nil {
		return 0, w.err
	}
	if len(p) < fileBuffer {
		w.buf = append(w.buf, p...)
		return len(p), nil
	}
	n, err := w.f.Write(p)
	if err != nil {
		w.err = fileError("writing", w.uri(), err)
	}
	return n, w.err
}

func (w *fileWriter) flush() error {
	if w.f == nil {
		if err := w.open(); err != nil {
			return err
		}
	}
	if _, err := w.f.Write(w.buf); err != nil {
		return fileError("writing", w.uri(), err)
	}
	w.buf = w.buf[:0]
	return nil
}

// open makes the temporary file, and the directories for it.
func (w *fileWriter) open() error {
	if err := os.MkdirAll(w.dir.root, 0o777); err != nil {
		return fileError("creating", w.dir.root, err)
	}
	root, err := os.OpenRoot(w.dir.root)
	if err != nil {
		return fileError("opening", w.dir.root, err)
	}
	defer root.Close()
	temp := path.Join(tempArea, rand.Text())
	for range raceTries {
		w.f, err = root.OpenFile(filepath.FromSlash(temp), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err = root.MkdirAll(filepath.FromSlash(tempArea), 0o777); err != nil && !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if err != nil {
		return fileError("creating", w.dir.path(temp), err)
	}
	w.temp = temp
	return nil
}

func (w *fileWriter) Finish(context.Context) error {
	if w.state != writing {
		return misuse(w.uri(), "finish", w.state)
	}
	if w.err == nil {
		w.err = w.finish()
	}
	if w.err != nil {
		return w.err
	}
	w.state = finished
	return nil
}

func (w *fileWriter) finish() error {
	if err := w.flush(); err != nil {
		return err
	}
	w.buf = nil
	f := w.f
	w.f = nil
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fileError("syncing", w.uri(), err)
	}
	return nil
}

func (w *fileWriter) Publish(context.Context) error {
	if w.state != finished {
		return misuse(w.uri(), "publish", w.state)
	}
	root, err := os.OpenRoot(w.dir.root)
	if err != nil {
		return fileError("publishing", w.uri(), err)
	}
	defer root.Close()
	from, to := filepath.FromSlash(w.temp), filepath.FromSlash(w.key)
	parent := path.Dir(w.key)
	made := false
	for range raceTries {
		if w.exclusive {
			err = root.Link(from, to)
		} else {
			err = root.Rename(from, to)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
		if _, gone := root.Lstat(from); gone != nil {
			return fmt.Errorf("publishing %s: the file %s, which was being written, was removed", w.uri(), w.dir.path(w.temp))
		}
		made = true
		if err = root.MkdirAll(filepath.FromSlash(parent), 0o777); err != nil && !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	switch {
	case w.exclusive && errors.Is(err, fs.ErrExist):
		return fmt.Errorf("creating %s: %w", w.uri(), pipeline.ErrExists)
	case errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("publishing %s: a part of the path is a file", w.uri())
	case errors.Is(err, syscall.EISDIR), errors.Is(err, syscall.ENOTEMPTY), errors.Is(err, fs.ErrExist):
		return fmt.Errorf("publishing %s: a directory of that name is there", w.uri())
	case err != nil:
		return fileError("publishing", w.uri(), err)
	}
	w.state = published
	if w.exclusive {
		// The object is there; if its other name stays, gc finds it.
		_ = root.Remove(from)
	}
	// The name must outlast a power failure as well as the bytes do.
	for dir := parent; ; dir = path.Dir(dir) {
		if err := syncDir(root, dir); err != nil {
			return fileError("syncing the directory of", w.uri(), err)
		}
		if !made || dir == "." {
			return nil
		}
	}
}

func syncDir(root *os.Root, dir string) error {
	f, err := root.Open(filepath.FromSlash(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // the object was deleted in the meantime
	}
	if err != nil {
		return err
	}
	err = f.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		err = nil // some file systems cannot sync directories
	}
	return errors.Join(err, f.Close())
}

func (w *fileWriter) Abort(context.Context) error {
	if w.state == published || w.state == aborted {
		return nil
	}
	w.state = aborted
	w.buf = nil
	if w.f != nil {
		w.f.Close()
		w.f = nil
	}
	if w.temp == "" {
		return nil
	}
	return w.dir.removeTemp(w.temp)
}

func (d *directory) removeTemp(temp string) error {
	root, err := os.OpenRoot(d.root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fileError("removing", d.path(temp), err)
	}
	defer root.Close()
	if err := root.Remove(filepath.FromSlash(temp)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fileError("removing", d.path(temp), err)
	}
	return nil
}

func (d *directory) Uploads(ctx context.Context, fn func(Upload) error) error {
	names, err := d.names(tempArea + "/")
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		info, err := os.Stat(d.path(path.Join(tempArea, name)))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fileError("listing", d.path(tempArea), err)
		}
		if err := fn(Upload{ID: name, Started: info.ModTime(), Size: info.Size()}); err != nil {
			return err
		}
	}
	return nil
}

func (d *directory) AbortUpload(_ context.Context, u Upload) error {
	if path.Base(u.ID) != u.ID {
		return fmt.Errorf("aborting in %s: bad upload id %q", d.root, u.ID)
	}
	return d.removeTemp(path.Join(tempArea, u.ID))
}
