package store

import (
	"context"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/drivemill/drivemill/pipeline/observe"
	"github.com/drivemill/drivemill/pipeline/retry"
)

// meteredClient sends every attempt at a request: it counts it, and holds back
// what would be more at once than the store can take. A request is under way
// until its answer was read and closed.
type meteredClient struct {
	next     aws.HTTPClient
	limiter  *retry.Limiter
	requests *observe.Requests
}

func (c *meteredClient) Do(r *http.Request) (*http.Response, error) {
	if err := c.limiter.Acquire(r.Context()); err != nil {
		return nil, err
	}
	c.requests.Add(kindOf(r), r.ContentLength)
	answer, err := c.next.Do(r)
	if err != nil {
		c.limiter.Release()
		return answer, err
	}
	if answer.StatusCode == http.StatusServiceUnavailable || answer.StatusCode == http.StatusTooManyRequests {
		c.limiter.Slow()
	} else {
		c.limiter.Fine()
	}
	answer.Body = &meteredBody{ReadCloser: answer.Body, client: c}
	return answer, nil
}

type meteredBody struct {
	io.ReadCloser
	client *meteredClient
	once   sync.Once
}

func (b *meteredBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.client.requests.Received(int64(n))
	return n, err
}

func (b *meteredBody) Close() error {
	err := b.ReadCloser.Close()
	b.once.Do(b.client.limiter.Release)
	return err
}

// kindOf tells by method and query what a request is billed as.
func kindOf(r *http.Request) observe.RequestKind {
	q := r.URL.Query()
	upload := q.Has("uploadId")
	switch r.Method {
	case http.MethodHead:
		return observe.Head
	case http.MethodGet:
		if q.Has("list-type") || q.Has("uploads") {
			return observe.List
		}
		return observe.Get
	case http.MethodDelete:
		if upload {
			return observe.UploadAbort
		}
		return observe.Delete
	case http.MethodPost:
		if upload {
			return observe.UploadComplete
		}
		return observe.UploadStart
	}
	if upload {
		return observe.UploadPart
	}
	return observe.Put
}

// requestRetryer asks the policy of the run about each failed attempt of a
// request. The SDK makes the pauses.
type requestRetryer struct {
	policy *retry.Policy
	limit  int // attempts, where the configuration says so
}

// mostAttempts only shows in a header of requests.
const mostAttempts = 12

func (r requestRetryer) IsErrorRetryable(err error) bool {
	_, ok := classify(err)
	return ok
}

func (r requestRetryer) MaxAttempts() int {
	if r.limit > 0 {
		return r.limit
	}
	return mostAttempts
}

// RetryDelay returns the error itself when it is given up.
func (r requestRetryer) RetryDelay(attempt int, err error) (time.Duration, error) {
	class, _ := classify(err)
	d, ok := r.policy.Pause(class, attempt, r.limit)
	if !ok {
		return 0, err
	}
	return d, nil
}

func (requestRetryer) GetInitialToken() func(error) error { return noToken }
func (requestRetryer) GetRetryToken(context.Context, error) (func(error) error, error) {
	return noToken, nil
}
func noToken(error) error { return nil }
