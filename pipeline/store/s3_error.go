package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsretry "github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/retry"
)

const (
	codeNoSuchKey    = "NoSuchKey"
	codeNoSuchBucket = "NoSuchBucket"
	codeNoSuchUpload = "NoSuchUpload"
	codeConflict     = "ConditionalRequestConflict"
)

// s3Error is what went wrong with a request, in our words: the SDK's text
// repeats itself and may quote URLs and configuration.
type s3Error struct {
	text  string
	kind  error // of package pipeline, may be nil
	cause error
}

func (e *s3Error) Error() string { return e.text }

func (e *s3Error) Unwrap() []error {
	if e.kind == nil {
		return []error{e.cause}
	}
	return []error{e.kind, e.cause}
}

func apiCode(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

func httpStatus(err error) int {
	var status interface{ HTTPStatusCode() int }
	if errors.As(err, &status) {
		return status.HTTPStatusCode()
	}
	return 0
}

// fail turns an error of the SDK into one of ours. The permission is the one
// that the request needs.
func (s *s3Store) fail(ctx context.Context, doing, uri, permission string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s %s: %w", doing, uri, ctx.Err())
	}
	status, code := httpStatus(err), apiCode(err)
	says := s3Says(status, code, err)
	e := &s3Error{cause: err}
	say := func(kind error, format string, args ...any) error {
		e.kind = kind
		e.text = doing + " " + uri + ": "
		if kind != nil {
			e.text += kind.Error() + ": "
		}
		e.text += fmt.Sprintf(format, args...)
		return e
	}
	switch {
	case strings.Contains(err.Error(), "get identity:") && !retryable(err):
		return say(pipeline.ErrDenied, "no usable AWS credentials (set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or give the machine a role): %s", says)
	case code == codeNoSuchBucket:
		return say(pipeline.ErrNotFound, "the bucket %s does not exist: create it, or correct the URI", s.bucket)
	case code == "ExpiredToken", code == "InvalidToken", code == "TokenRefreshRequired":
		return say(pipeline.ErrDenied, "the AWS credentials have expired, renew them and run again: %s", says)
	case code == "InvalidAccessKeyId", code == "SignatureDoesNotMatch":
		return say(pipeline.ErrDenied, "the server does not accept the AWS credentials, check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_PROFILE: %s", says)
	case strings.HasPrefix(code, "KMS.") || status == http.StatusForbidden && strings.Contains(says, "kms:"):
		return say(pipeline.ErrDenied, "the key that encrypts the bucket may not be used: kms:Decrypt is needed on it to read, kms:GenerateDataKey to write: %s", says)
	case retryable(err):
		return pipeline.Transient(say(nil, "%s", says))
	case status == http.StatusNotFound:
		e.kind, e.text = pipeline.ErrNotFound, doing+" "+uri+": "+pipeline.ErrNotFound.Error()
		return e
	case status == http.StatusForbidden:
		hint := ""
		if permission == "s3:GetObject" {
			hint = "; without s3:ListBucket S3 also answers so when the object does not exist"
		}
		return say(pipeline.ErrDenied, "%s is needed, grant it to the credentials in use%s: %s", permission, hint, says)
	case status == http.StatusPreconditionFailed && permission == "s3:GetObject":
		return say(pipeline.ErrChanged, "%s", says)
	case status == http.StatusPreconditionFailed:
		return say(pipeline.ErrExists, "%s", says)
	case status == http.StatusRequestedRangeNotSatisfiable:
		return say(pipeline.ErrTruncated, "%s", says)
	case status == http.StatusMovedPermanently, code == "AuthorizationHeaderMalformed":
		region := bucketRegion(err)
		if region == "" {
			region = "that of the bucket"
		}
		return say(nil, "the bucket is in another region than the configured %s, set AWS_REGION to %s: %s", s.client.Options().Region, region, says)
	}
	return say(nil, "%s", says)
}

// bucketRegion is where a server says that the bucket is, or empty.
func bucketRegion(err error) string {
	var answer *smithyhttp.ResponseError
	if errors.As(err, &answer) && answer.Response != nil {
		return answer.Response.Header.Get("X-Amz-Bucket-Region")
	}
	return ""
}

// s3Says is the server's answer on one line, or the reason there is none.
func s3Says(status int, code string, err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		text := fmt.Sprintf("%s (HTTP %d)", code, status)
		if m := api.ErrorMessage(); m != "" && m != code {
			text = fmt.Sprintf("%s: %s (HTTP %d)", code, m, status)
		}
		return oneLine(text)
	}
	var u *url.Error // its own text would quote the URL
	var op *smithy.OperationError
	switch {
	case errors.As(err, &u):
		err = u.Err
	case errors.As(err, &op):
		err = op.Err
	}
	return oneLine(err.Error())
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// transientIO are failures of a connection beyond those the SDK knows.
var transientIO = []error{io.ErrUnexpectedEOF, io.EOF, syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNABORTED}

// retryable reports whether a failed request may succeed later. It was retried
// then, and ran out of attempts.
func retryable(err error) bool {
	_, ok := classify(err)
	return ok
}

// classify tells why a failed request may succeed later, if it may.
func classify(err error) (retry.Class, bool) {
	var cancelled interface{ CanceledError() bool }
	if errors.Is(err, context.Canceled) || errors.As(err, &cancelled) && cancelled.CanceledError() {
		return "", false
	}
	status, code := httpStatus(err), apiCode(err)
	if _, ok := awsretry.DefaultThrottleErrorCodes[code]; ok {
		return retry.SlowDown, true
	}
	switch code {
	case codeConflict, "OperationAborted":
		return retry.Conflict, true
	case "RequestTimeout":
		return retry.Timeout, true
	case "InternalError", "ServiceUnavailable", "RequestTimeTooSkewed":
		return retry.Server, true
	}
	switch {
	case status == http.StatusServiceUnavailable, status == http.StatusTooManyRequests:
		return retry.SlowDown, true
	case status == http.StatusRequestTimeout, status == http.StatusGatewayTimeout:
		return retry.Timeout, true
	case status >= 500 && status != http.StatusNotImplemented:
		return retry.Server, true
	}
	var late net.Error
	if errors.As(err, &late) && late.Timeout() {
		return retry.Timeout, true
	}
	if status == 0 {
		for _, e := range transientIO {
			if errors.Is(err, e) {
				return retry.Network, true
			}
		}
	}
	return retry.Network, awsretry.IsErrorRetryables(awsretry.DefaultRetryables).IsErrorRetryable(err) == aws.TrueTernary
}
