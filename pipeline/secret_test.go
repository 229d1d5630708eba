package pipeline

import "testing"

func TestHoldsSecret(t *testing.T) {
	for _, s := range []string{
		"s3://key:hunter2@bucket/x",
		"https://user@host/x",
		"https://bucket.example/x?a=b&X-Amz-Signature=0011",
		"/x?x-amz-security-token=abc",
		"AWS_SECRET_ACCESS_KEY=abc",
		"aws_session_token = abc",
		`{"SecretAccessKey": "abc"}`,
		"key AKIAABCDEFGHIJKLMNOP of somebody",
		"-----BEGIN RSA PRIVATE KEY-----",
	} {
		if !HoldsSecret(s) || Redact(s) != "***" {
			t.Errorf("%q was not noticed", s)
		}
	}
	for _, s := range []string{
		"", "s3://bucket/me@home/x", "s3://fleet-raw/{vehicle_id}/*.bag", "twist.twist.linear.x > 0.5", "${LAKE:lake}",
		"a note on SECRET_ACCESS_KEY in general", "XAKIAABCDEFGHIJKLMNOP", "AKIAABC", "https://docs.example/x?signature=y",
	} {
		if HoldsSecret(s) || Redact(s) != s {
			t.Errorf("%q was taken for a secret", s)
		}
	}
}
