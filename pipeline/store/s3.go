package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/observe"
	"github.com/drivemill/drivemill/pipeline/retry"
)

// answerTimeout is how long a server may think before the first byte of its
// answer; stallTimeout is how long a body may stand still.
const (
	answerTimeout = 60 * time.Second
	stallTimeout  = 30 * time.Second
)

// s3Store is a view of a bucket below a prefix.
type s3Store struct {
	client *s3.Client
	policy *retry.Policy
	bucket string
	prefix string // empty or ends in a slash
	// checksum of parts: what the SDK adds to every write, or none.
	checksum types.ChecksumAlgorithm
	encrypt  encryption
}

func openS3(ctx context.Context, bucket, prefix string) (*s3Store, error) {
	cfg, err := config.LoadDefaultConfig(ctx, config.WithHTTPClient(
		awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
			t.MaxIdleConnsPerHost = 64 // keep the connections of all ranges in flight
			t.ReadBufferSize = 64 << 10
			t.ResponseHeaderTimeout = answerTimeout
		})))
	if err != nil {
		return nil, fmt.Errorf("opening s3://%s: loading the AWS configuration: %w", bucket, err)
	}
	var broken error
	policy := retry.From(ctx)
	client := s3.NewFromConfig(cfg, func(o *s3.Options) {
		if o.BaseEndpoint != nil {
			broken = checkEndpoint(*o.BaseEndpoint, os.Getenv(allowHTTPVariable) == "true")
			o.UsePathStyle = true
			if o.Region == "" {
				o.Region = "us-east-1"
			}
		}
		if o.Region == "" && broken == nil {
			broken = errors.New("no AWS region: set AWS_REGION, or region in the AWS config file")
		}
		o.Retryer = requestRetryer{policy, cfg.RetryMaxAttempts}
		o.HTTPClient = &meteredClient{next: o.HTTPClient, limiter: policy.Limiter("s3://" + bucket), requests: observe.RequestsFrom(ctx)}
		// S3 keeps checksums of whole objects; ranges cannot be held against
		// them, and asking for them only makes the SDK warn of each.
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
	})
	if broken != nil {
		return nil, fmt.Errorf("opening s3://%s: %w", bucket, broken)
	}
	encrypt, err := encryptionOf(os.Getenv(kmsKeyVariable))
	if err != nil {
		return nil, fmt.Errorf("opening s3://%s: %w", bucket, err)
	}
	s := &s3Store{client: client, policy: policy, bucket: bucket, encrypt: encrypt}
	if client.Options().RequestChecksumCalculation != aws.RequestChecksumCalculationWhenRequired {
		s.checksum = types.ChecksumAlgorithmCrc32
	}
	if prefix != "" {
		s.prefix = prefix + "/"
	}
	return s, nil
}

func (s *s3Store) Root() string {
	return strings.TrimSuffix("s3://"+s.bucket+"/"+s.prefix, "/")
}

func (s *s3Store) uri(key string) string { return "s3://" + s.bucket + "/" + s.prefix + key }

// full is the key in the bucket.
func (s *s3Store) full(key string) *string { return aws.String(s.prefix + key) }

func (s *s3Store) object(key string, size int64, etag *string, modified *time.Time) pipeline.Object {
	// The header of an answer has whole seconds, a listing may have more.
	return pipeline.Object{URI: s.uri(key), Key: key, Size: size, ETag: strings.Trim(aws.ToString(etag), `"`), Modified: aws.ToTime(modified).UTC().Truncate(time.Second)}
}

func (s *s3Store) List(ctx context.Context, prefix string, fn func(pipeline.Object) error) error {
	pages := s3.NewListObjectsV2Paginator(s.client, &s3.ListObjectsV2Input{Bucket: &s.bucket, Prefix: s.full(prefix)})
	last, token := "", ""
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return s.fail(ctx, "listing", s.uri(prefix), "s3:ListBucket", err)
		}
		if next := aws.ToString(page.NextContinuationToken); next != "" {
			if next == token {
				return fmt.Errorf("listing %s: %w: the server sends the same page again", s.uri(prefix), pipeline.ErrUnsupported)
			}
			token = next
		}
		for _, o := range page.Contents {
			full := aws.ToString(o.Key)
			if full <= last && last != "" {
				return fmt.Errorf("listing %s: %w: the server lists %q after %q, which is not in order", s.uri(prefix), pipeline.ErrUnsupported, full, last)
			}
			last = full
			key, inside := strings.CutPrefix(full, s.prefix)
			if !inside || key == "" || strings.HasSuffix(key, "/") {
				continue
			}
			if err := fn(s.object(key, aws.ToInt64(o.Size), o.ETag, o.LastModified)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *s3Store) Stat(ctx context.Context, key string) (pipeline.Object, error) {
	if key == "" {
		return pipeline.Object{}, fmt.Errorf("looking up in %s: empty key", s.Root())
	}
	head, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.bucket, Key: s.full(key)})
	if err != nil {
		return pipeline.Object{}, s.fail(ctx, "looking up", s.uri(key), "s3:GetObject", err)
	}
	return s.object(key, aws.ToInt64(head.ContentLength), head.ETag, head.LastModified), nil
}

func (s *s3Store) Open(_ context.Context, obj pipeline.Object) (pipeline.Source, error) {
	if obj.Key == "" {
		return nil, fmt.Errorf("opening in %s: empty key", s.Root())
	}
	return &s3Source{s, obj}, nil
}

func (s *s3Store) Get(ctx context.Context, key string) ([]byte, error) {
	if key == "" {
		return nil, fmt.Errorf("reading in %s: empty key", s.Root())
	}
	for failed := 1; ; failed++ {
		data, err := s.get(ctx, key)
		var broken *brokenBody
		if !errors.As(err, &broken) {
			return data, err
		}
		if !s.policy.Sleep(ctx, retry.Body, failed) {
			if ctx.Err() != nil {
				err = fmt.Errorf("reading %s: %w", s.uri(key), ctx.Err())
			}
			return nil, err
		}
	}
}

// get reads a small object in one request.
func (s *s3Store) get(ctx context.Context, key string) ([]byte, error) {
	call, cancel := context.WithCancel(ctx)
	defer cancel()
	out, err := s.client.GetObject(call, &s3.GetObjectInput{Bucket: &s.bucket, Key: s.full(key)})
	if err != nil {
		return nil, s.fail(ctx, "reading", s.uri(key), "s3:GetObject", err)
	}
	defer out.Body.Close()
	size := aws.ToInt64(out.ContentLength)
	if err := checkSmall(s.uri(key), size); err != nil {
		return nil, err
	}
	data := make([]byte, size)
	if _, err := readBody(ctx, cancel, out.Body, data); err != nil {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("reading %s: %w", s.uri(key), ctx.Err())
		}
		return nil, pipeline.Transient(&brokenBody{fmt.Errorf("reading %s: the connection broke off: %w", s.uri(key), err)})
	}
	return data, nil
}

func (s *s3Store) Put(ctx context.Context, key string, data []byte) error {
	return s.put(ctx, key, data, nil)
}

// PutIfAbsent may say ErrExists of an object that it wrote itself, when the
// answer to the first attempt was lost. Whoever must know reads it back.
func (s *s3Store) PutIfAbsent(ctx context.Context, key string, data []byte) error {
	return s.put(ctx, key, data, aws.String("*"))
}

func (s *s3Store) put(ctx context.Context, key string, data []byte, ifNone *string) error {
	if err := checkNewKey(key); err != nil {
		return fmt.Errorf("writing in %s: %w", s.Root(), err)
	}
	_, err := s.client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &s.bucket, Key: s.full(key), IfNoneMatch: ifNone,
		Body: bytes.NewReader(data), ContentLength: aws.Int64(int64(len(data))),
		ServerSideEncryption: s.encrypt.kind, SSEKMSKeyId: s.encrypt.key, BucketKeyEnabled: s.encrypt.bucketKey,
	})
	if err != nil {
		return s.fail(ctx, "creating", s.uri(key), "s3:PutObject", err)
	}
	return nil
}

func (s *s3Store) Delete(ctx context.Context, key string) error {
	if err := checkKey(key); err != nil {
		return fmt.Errorf("deleting in %s: %w", s.Root(), err)
	}
	_, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.bucket, Key: s.full(key)})
	if err == nil || apiCode(err) == codeNoSuchKey {
		return nil
	}
	return s.fail(ctx, "deleting", s.uri(key), "s3:DeleteObject", err)
}
