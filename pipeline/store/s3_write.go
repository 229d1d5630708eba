package store

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/drivemill/drivemill/pipeline"
)

const (
	minPart  = 8 << 20
	maxParts = 10_000 // S3's limit
	// partsPerSize is after how many parts their size doubles: 10,000 parts
	// then hold 8 TB, and objects of up to 8 GB have parts of minPart.
	partsPerSize = 1000
)

// partSize is the length of the n-th part, from 0.
func partSize(n int) int { return minPart << (n / partsPerSize) }

var errReaderClosed = errors.New("read after close")

// Create starts no request: an object of up to one part is sent by Publish.
// The context bounds the uploads that Write begins.
func (s *s3Store) Create(ctx context.Context, key string) (pipeline.ObjectWriter, error) {
	if err := checkKey(key); err != nil {
		return nil, fmt.Errorf("creating in %s: %w", s.Root(), err)
	}
	w := &s3Writer{store: s, key: key}
	ctx, w.cancel = context.WithCancel(ctx)
	w.send = func() error { return w.sendPart(ctx) }
	return w, nil
}

// s3Writer fills one part while the one before it is uploaded.
type s3Writer struct {
	store  *s3Store
	key    string
	buf    []byte
	spare  []byte // the buffer of the part that was uploaded last
	upload string // id, empty before the first part
	parts  []types.CompletedPart
	flying chan sent    // the part being uploaded, nil for none
	send   func() error // starts the upload of buf, under the context of Create
	cancel context.CancelFunc
	err    error
	state  writerState
}

type sent struct {
	part types.CompletedPart
	buf  []byte
	err  error
}

func (w *s3Writer) uri() string { return w.store.uri(w.key) }

func (w *s3Writer) Write(p []byte) (int, error) {
	if w.state != writing {
		return 0, misuse(w.uri(), "write", w.state)
	}
	written := 0
	for len(p) > 0 {
		if w.err != nil {
			return written, w.err
		}
		size := partSize(len(w.parts) + w.inFlight())
		if len(w.buf) == size {
			w.err = w.send()
			continue
		}
		n := min(len(p), size-len(w.buf))
		w.grow(n, size)
		w.buf = append(w.buf, p[:n]...)
		p, written = p[n:], written+n
	}
	return written, w.err
}

// grow makes room for n more bytes, doubling but never beyond one part.
func (w *s3Writer) grow(n, size int) {
	need := len(w.buf) + n
	if need <= cap(w.buf) {
		return
	}
	grown := make([]byte, len(w.buf), min(max(2*cap(w.buf), need), size))
	copy(grown, w.buf)
	w.buf = grown
}

func (w *s3Writer) inFlight() int {
	if w.flying != nil {
		return 1
	}
	return 0
}

// startTime bounds the wait for the answer to the start of an upload.
const startTime = 5 * time.Second

// sendPart begins to upload buf, after the part before it has arrived.
func (w *s3Writer) sendPart(ctx context.Context) error {
	if err := w.wait(); err != nil {
		return err
	}
	if len(w.parts) == maxParts {
		return fmt.Errorf("writing %s: %w: S3 takes %d parts", w.uri(), pipeline.ErrLimit, maxParts)
	}
	s := w.store
	if w.upload == "" {
		// A cancelled request may have started an upload that nobody knows of,
		// and so nobody aborts: its answer is waited for.
		start, cancel := context.WithTimeout(context.WithoutCancel(ctx), startTime)
		defer cancel()
		out, err := s.client.CreateMultipartUpload(start, &s3.CreateMultipartUploadInput{
			Bucket: &s.bucket, Key: s.full(w.key), ChecksumAlgorithm: s.checksum,
			ServerSideEncryption: s.encrypt.kind, SSEKMSKeyId: s.encrypt.key, BucketKeyEnabled: s.encrypt.bucketKey,
		})
		if err != nil {
			return s.fail(ctx, "starting the upload of", w.uri(), "s3:PutObject", err)
		}
		w.upload = aws.ToString(out.UploadId)
	}
	body := w.buf
	w.buf, w.spare = w.spare[:0], nil
	number := int32(len(w.parts) + 1)
	upload := w.upload
	flying := make(chan sent, 1)
	w.flying = flying
	go func() {
		out, err := s.client.UploadPart(ctx, &s3.UploadPartInput{
			Bucket: &s.bucket, Key: s.full(w.key), UploadId: &upload, PartNumber: &number,
			Body: bytes.NewReader(body), ContentLength: aws.Int64(int64(len(body))), ChecksumAlgorithm: s.checksum,
		})
		if err != nil {
			flying <- sent{buf: body, err: w.lost(s.fail(ctx, fmt.Sprintf("uploading part %d of", number), w.uri(), "s3:PutObject", err))}
			return
		}
		flying <- sent{buf: body, part: types.CompletedPart{PartNumber: &number, ETag: out.ETag, ChecksumCRC32: out.ChecksumCRC32}}
	}()
	return nil
}

// lost makes an upload that is gone transient: the object can be written anew.
func (w *s3Writer) lost(err error) error {
	if apiCode(err) != codeNoSuchUpload {
		return err
	}
	return pipeline.Transient(fmt.Errorf("%w (somebody aborted the upload)", err))
}

// wait takes in the part that is being uploaded.
func (w *s3Writer) wait() error {
	if w.flying == nil {
		return nil
	}
	s := <-w.flying
	w.flying = nil
	if s.err != nil {
		return s.err
	}
	w.spare = s.buf
	w.parts = append(w.parts, s.part)
	return nil
}

func (w *s3Writer) Finish(ctx context.Context) error {
	if w.state != writing {
		return misuse(w.uri(), "finish", w.state)
	}
	if w.err == nil {
		w.err = w.finish(ctx)
	}
	if w.err != nil {
		return w.err
	}
	w.state = finished
	return nil
}

func (w *s3Writer) finish(ctx context.Context) error {
	if w.upload == "" && w.flying == nil {
		return nil
	}
	if len(w.buf) > 0 {
		if err := w.sendPart(ctx); err != nil {
			return err
		}
	}
	if err := w.wait(); err != nil {
		return err
	}
	w.buf, w.spare = nil, nil
	return nil
}

// Publish may be called again after an error.
func (w *s3Writer) Publish(ctx context.Context) error {
	if w.state != finished {
		return misuse(w.uri(), "publish", w.state)
	}
	var err error
	if w.upload == "" {
		err = w.store.Put(ctx, w.key, w.buf)
	} else {
		err = w.complete(ctx)
	}
	if err != nil {
		return err
	}
	w.state, w.buf = published, nil
	w.cancel()
	return nil
}

func (w *s3Writer) complete(ctx context.Context) error {
	s := w.store
	_, err := s.client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
		Bucket: &s.bucket, Key: s.full(w.key), UploadId: &w.upload,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: w.parts},
	})
	if err == nil {
		return nil
	}
	if apiCode(err) == codeNoSuchUpload {
		// The answer to an earlier attempt may have been lost on its way.
		if obj, statErr := s.Stat(ctx, w.key); statErr == nil && obj.ETag == multipartTag(w.parts) {
			return nil
		}
	}
	return w.lost(s.fail(ctx, "completing the upload of", w.uri(), "s3:PutObject", err))
}

// multipartTag is the ETag that S3 gives to an object of these parts: the MD5
// of their MD5s, and their number. Empty where ETags are not MD5s.
func multipartTag(parts []types.CompletedPart) string {
	h := md5.New()
	for _, p := range parts {
		sum, err := hex.DecodeString(strings.Trim(aws.ToString(p.ETag), `"`))
		if err != nil || len(sum) != md5.Size {
			return ""
		}
		h.Write(sum)
	}
	return fmt.Sprintf("%x-%d", h.Sum(nil), len(parts))
}

func (w *s3Writer) Abort(ctx context.Context) error {
	if w.state == published || w.state == aborted {
		return nil
	}
	w.cancel()
	if w.flying != nil {
		<-w.flying // a part that arrives after the abort would stay
		w.flying = nil
	}
	w.buf, w.spare = nil, nil
	if w.upload != "" {
		if err := w.store.abort(ctx, w.key, w.upload); err != nil {
			return err
		}
	}
	w.state = aborted
	return nil
}

func (s *s3Store) abort(ctx context.Context, key, id string) error {
	_, err := s.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &s.bucket, Key: s.full(key), UploadId: &id})
	if err != nil && apiCode(err) != codeNoSuchUpload {
		return s.fail(ctx, "aborting the upload of", s.uri(key), "s3:AbortMultipartUpload", err)
	}
	return nil
}

func (s *s3Store) Uploads(ctx context.Context, fn func(Upload) error) error {
	pages := s3.NewListMultipartUploadsPaginator(s.client, &s3.ListMultipartUploadsInput{Bucket: &s.bucket, Prefix: &s.prefix})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return s.fail(ctx, "listing the uploads of", s.Root(), "s3:ListBucketMultipartUploads", err)
		}
		for _, u := range page.Uploads {
			key, inside := strings.CutPrefix(aws.ToString(u.Key), s.prefix)
			if !inside {
				continue
			}
			if err := fn(Upload{Key: key, ID: aws.ToString(u.UploadId), Started: aws.ToTime(u.Initiated), Size: -1}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *s3Store) AbortUpload(ctx context.Context, u Upload) error { return s.abort(ctx, u.Key, u.ID) }
