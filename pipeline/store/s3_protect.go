package store

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// Variables of the environment that say how what is in S3 is protected. They
// describe where the process runs, not the pipeline, and so do not belong to
// its fingerprint.
const (
	kmsKeyVariable    = "DRIVEMILL_S3_KMS_KEY"
	allowHTTPVariable = "DRIVEMILL_S3_ALLOW_HTTP"
)

// awsManagedKey stands for the key that AWS keeps for an account.
const awsManagedKey = "aws/s3"

// encryption is what every write asks of the server. The zero value leaves it
// to the bucket.
type encryption struct {
	kind      types.ServerSideEncryption
	key       *string // nil: the key that AWS keeps
	bucketKey *bool
}

var kmsKey = regexp.MustCompile(`\A[A-Za-z0-9:/_-]+\z`)

// encryptionOf reads the value of DRIVEMILL_S3_KMS_KEY.
func encryptionOf(key string) (encryption, error) {
	switch {
	case key == "":
		return encryption{}, nil
	case !kmsKey.MatchString(key):
		return encryption{}, fmt.Errorf("%s is not the id or ARN of a KMS key, nor %s", kmsKeyVariable, awsManagedKey)
	}
	e := encryption{kind: types.ServerSideEncryptionAwsKms, bucketKey: aws.Bool(true)}
	if key != awsManagedKey {
		e.key = &key
	}
	return e, nil
}

// checkEndpoint refuses an endpoint that would put a secret into messages, or
// what is read and written in the clear on a network.
func checkEndpoint(endpoint string, allowHTTP bool) error {
	u, err := url.Parse(endpoint)
	switch {
	case err != nil:
		return errors.New("the configured AWS endpoint is not a URL")
	case u.User != nil:
		return errors.New("the configured AWS endpoint holds a user name; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead")
	case u.RawQuery != "" || u.Fragment != "":
		return errors.New("the configured AWS endpoint has a query; it is not of the form https://host:port")
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return fmt.Errorf("the configured AWS endpoint %q is not of the form https://host:port", endpoint)
	case u.Scheme == "http" && !isLoopback(u.Hostname()) && !allowHTTP:
		return fmt.Errorf("the configured AWS endpoint %q is not encrypted: anyone on the way could read and change what passes; use https, or set %s=true where the network is trusted", endpoint, allowHTTPVariable)
	}
	return nil
}

func isLoopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
