package store_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/pipetest/s3server"
	"github.com/drivemill/drivemill/pipeline/store"
)

// Every request that makes an object asks for encryption under the key, by
// whichever way it is written, and no other request does.
func TestS3Encryption(t *testing.T) {
	const arn = "arn:aws:kms:eu-central-1:111122223333:key/0a1b2c3d-0000-4444-8888-0123456789ab"
	for _, c := range []struct{ set, kind, key, bucketKey string }{
		{"", "", "", ""},
		{arn, "aws:kms", arn, "true"},
		{"aws/s3", "aws:kms", "", "true"},
	} {
		t.Run("key "+c.set, func(t *testing.T) {
			t.Setenv("DRIVEMILL_S3_KMS_KEY", c.set)
			p, s := behindProxy(t)
			var mu sync.Mutex
			writes := 0
			p.Strike(func(w http.ResponseWriter, r *http.Request, forward http.Handler) bool {
				part := r.URL.Query().Has("uploadId")
				creates := r.Method == http.MethodPut && !part || r.Method == http.MethodPost && r.URL.Query().Has("uploads")
				want := [3]string{}
				if creates {
					want = [3]string{c.kind, c.key, c.bucketKey}
				}
				const head = "X-Amz-Server-Side-Encryption"
				if got := [3]string{r.Header.Get(head), r.Header.Get(head + "-Aws-Kms-Key-Id"), r.Header.Get(head + "-Bucket-Key-Enabled")}; got != want {
					t.Errorf("%s %s asks for %q, want %q", r.Method, r.URL, got, want)
				}
				mu.Lock()
				defer mu.Unlock()
				if creates {
					writes++
				}
				return false
			})
			err := errors.Join(s.Put(t.Context(), "put", []byte("x")), s.PutIfAbsent(t.Context(), "absent", []byte("x")))
			if err != nil {
				t.Fatal(err)
			}
			write(t, s, "small", []byte("x"))
			write(t, s, "large", random(9<<20))
			if _, err := s.Get(t.Context(), "put"); err != nil {
				t.Fatal(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if writes != 4 {
				t.Errorf("%d objects were created, want 4", writes)
			}
		})
	}
	t.Run("no key", func(t *testing.T) {
		s3server.Start(t)
		t.Setenv("DRIVEMILL_S3_KMS_KEY", "my key")
		_, err := store.Open(t.Context(), "s3://bucket")
		checkError(t, "open", err, nil, false, "DRIVEMILL_S3_KMS_KEY")
	})
}

// What is not encrypted on the way is refused, unless it stays on the machine
// or somebody says that it is wanted.
func TestS3WantsTLS(t *testing.T) {
	for _, c := range []struct {
		endpoint, allow, refused string
	}{
		{"https://objects.example", "", ""},
		{"http://127.0.0.1:9000", "", ""},
		{"http://[::1]:9000", "", ""},
		{"http://localhost:9000", "", ""},
		{"http://s3.localhost:9000", "", ""},
		{"http://objects.example", "", "not encrypted"},
		{"http://localhost.example", "", "not encrypted"},
		{"http://10.0.0.7:9000", "false", "not encrypted"},
		{"http://10.0.0.7:9000", "true", ""},
		{"https://objects.example?token=hunter2", "", "query"},
	} {
		t.Setenv("AWS_ENDPOINT_URL", c.endpoint)
		t.Setenv("AWS_ENDPOINT_URL_S3", "")
		t.Setenv("AWS_REGION", "us-east-1")
		t.Setenv("DRIVEMILL_S3_ALLOW_HTTP", c.allow)
		_, err := store.Open(t.Context(), "s3://bucket")
		if c.refused == "" && err != nil || c.refused != "" && (err == nil || !strings.Contains(err.Error(), c.refused)) {
			t.Errorf("%s, allowed %q: %v, want %q", c.endpoint, c.allow, err, c.refused)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the secret is in: %v", err)
		}
	}
}

// Keys cannot lead out of a store, nor play tricks with a terminal, whatever
// they were made of.
func TestHostileKeys(t *testing.T) {
	dir := t.TempDir()
	for _, root := range []string{dir + "/store", "mem://hostile"} {
		s := open(t, root)
		for _, key := range []string{
			"", "/", "..", ".", "a/..", "../a", "a/../../b", "a//b", "/etc/passwd", "a/", "a/.",
			`..\a`, `a\..\..\b`, `C:\a`, "a\x00b", "a\nb", "\x1b[2Ja", "a\x7f", "_drivemill/tmp/x",
		} {
			_, err := s.Create(t.Context(), key)
			for what, err := range map[string]error{
				"create": err, "put": s.Put(t.Context(), key, nil), "put if absent": s.PutIfAbsent(t.Context(), key, nil), "delete": s.Delete(t.Context(), key),
			} {
				if err == nil {
					t.Errorf("%s: %s %q was taken", root, what, key)
				} else if strings.ContainsAny(err.Error(), "\x00\n\x1b\x7f") {
					t.Errorf("%s: %s: the message has control characters: %q", root, what, err)
				}
			}
		}
	}
	checkEmpty(t, dir)
}

func checkEmpty(t *testing.T, dir string) {
	t.Helper()
	if err := open(t, dir).List(t.Context(), "", func(o pipeline.Object) error {
		t.Errorf("%s was written", o.URI)
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// A URI with credentials is refused by everything that takes one, and shown by
// nothing.
func TestSecretsInURIs(t *testing.T) {
	for _, uri := range []string{
		"s3://key:hunter2@bucket/x", "s3://hunter2@bucket/*.bag", "https://h/x?X-Amz-Signature=hunter2", "s3://bucket/x?X-Amz-Security-Token=hunter2",
	} {
		_, opened := store.Open(context.Background(), uri)
		_, _, split := store.Split(uri)
		_, parsed := store.ParsePattern(uri)
		for what, err := range map[string]error{"open": opened, "split": split, "pattern": parsed} {
			if err == nil || !strings.Contains(err.Error(), "credentials") || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s of %s: %v", what, uri, err)
			}
		}
	}
}
