package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/drivemill/drivemill/pipeline"
)

// writerState is the life of an ObjectWriter.
type writerState uint8

const (
	writing writerState = iota
	finished
	published
	aborted
)

func (s writerState) String() string {
	return [...]string{"being written", "finished", "published", "aborted"}[s]
}

// misuse is the error for a call that does not fit the state.
func misuse(uri, call string, s writerState) error {
	return fmt.Errorf("%s of %s, which is %s", call, uri, s)
}

// writeSmall creates or replaces a small object by way of an ObjectWriter.
func writeSmall(ctx context.Context, s pipeline.Store, key string, data []byte) error {
	w, err := s.Create(ctx, key)
	if err != nil {
		return err
	}
	if _, err = w.Write(data); err == nil {
		if err = w.Finish(ctx); err == nil {
			err = w.Publish(ctx)
		}
	}
	if err != nil {
		return errors.Join(err, w.Abort(context.WithoutCancel(ctx)))
	}
	return nil
}

// Upload is an object that somebody began to write and has neither published
// nor aborted: work in progress, or what a killed process left behind.
type Upload struct {
	Key     string // empty where the store does not know it
	ID      string // of the store
	Started time.Time
	Size    int64 // bytes so far, -1 where unknown
}

// UploadKeeper is implemented by stores whose unfinished objects outlive the
// process. Callers use Uploads and AbortUpload of this package, which know
// what to do with other stores.
type UploadKeeper interface {
	Uploads(ctx context.Context, fn func(Upload) error) error
	AbortUpload(ctx context.Context, u Upload) error
}

// Uploads calls fn for every unfinished object of s, in no particular order.
func Uploads(ctx context.Context, s pipeline.Store, fn func(Upload) error) error {
	if u, ok := s.(UploadKeeper); ok {
		return u.Uploads(ctx, fn)
	}
	return nil
}

// AbortUpload removes an unfinished object. Whoever is still writing it fails.
func AbortUpload(ctx context.Context, s pipeline.Store, u Upload) error {
	if k, ok := s.(UploadKeeper); ok {
		return k.AbortUpload(ctx, u)
	}
	return nil
}
