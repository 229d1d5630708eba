package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/drivemill/drivemill/pipeline/pipetest/s3server"
)

// drivesOnS3 puts the sample drives into the bucket and returns their pattern.
func drivesOnS3(t *testing.T, p *s3server.Proxy) string {
	t.Helper()
	st := openStore(t, "s3://"+p.Bucket+"/raw")
	root := filepath.Join(repoRoot(t), "testdata", "drives")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) == ".json" {
			return err
		}
		data, err := os.ReadFile(path)
		rel, rerr := filepath.Rel(root, path)
		return errors.Join(err, rerr, st.Put(t.Context(), filepath.ToSlash(rel), data))
	})
	if err != nil {
		t.Fatal(err)
	}
	return "s3://" + p.Bucket + "/raw/{vehicle_id}/{drive_id}/{logger}.{bag,mcap}"
}

// With one request in twenty, or in five, failing in every way that passes, a run ends
// well, with the lake of an undisturbed one, and says what it tried again.
func TestRetryableFaults(t *testing.T) {
	p := s3server.StartProxy(t, s3server.Start(t))
	from := []string{"--set", "inputs.drives.uri=" + drivesOnS3(t, p), "--summary", "json"}
	lake := func(name string) string { return "s3://" + p.Bucket + "/" + name }
	mustRun(t, nil, runArgs(lake("undisturbed"), from...)...)
	want := snapshot(t, lake("undisturbed"))
	faults := s3server.RetryableFaults()
	total, calls := make([]int, len(faults)), 0
	for seed := range uint64(faultSeeds) {
		p.Requests()
		share := 0.05
		if seed%2 == 1 {
			share = 0.2
		}
		struck := p.Inject(seed, share, faults...)
		at := lake(fmt.Sprintf("disturbed-%d", seed))
		r := invocation{args: runArgs(at, from...)}.run(t)
		p.Strike(nil)
		calls += len(p.Requests())
		if r.code != exitDone {
			t.Fatalf("seed %d: exit %d\n%s", seed, r.code, r.stderr)
		}
		if d := diff(want, snapshot(t, at)); d != "" {
			t.Errorf("seed %d: the lake differs from an undisturbed one:\n%s", seed, d)
		}
		var sum struct {
			Retries  map[string]int
			Requests struct {
				Total map[string]int `json:"by_kind"`
			}
		}
		if err := json.Unmarshal([]byte(r.stdout), &sum); err != nil {
			t.Fatal(err)
		}
		hits, told := 0, 0
		for i, n := range struck() {
			total[i] += n
			if faults[i].Kind != s3server.Slow {
				hits += n
			}
		}
		for _, n := range sum.Retries {
			told += n
		}
		// A body that is shorter than where it would be cut arrives whole.
		if hits > 0 && told == 0 || told > hits {
			t.Errorf("seed %d: %d faults, %d retries: %v", seed, hits, told, sum.Retries)
		}
		t.Logf("seed %d: faults %v, retries %v, requests %v", seed, struck(), sum.Retries, sum.Requests.Total)
	}
	n := 0
	for _, k := range total {
		n += k
	}
	t.Logf("%d of %d requests were struck", n, calls)
	if n == 0 {
		t.Error("nothing was struck")
	}
}

// What stays wrong ends the run with 1 and a sentence that says what to do.
func TestPermanentFaults(t *testing.T) {
	p := s3server.StartProxy(t, s3server.Start(t))
	from := []string{"--set", "inputs.drives.uri=" + drivesOnS3(t, p)}
	for i, c := range []struct {
		name  string
		fault s3server.Fault
		says  []string
	}{
		{"no permission to list", s3server.Fault{Method: "GET", Query: "list-type", Status: 403, Code: "AccessDenied"}, []string{"s3:ListBucket is needed"}},
		{"no permission to read", s3server.Fault{Method: "GET", Key: `\.bag$`, Status: 403, Code: "AccessDenied"}, []string{"s3:GetObject is needed", "without s3:ListBucket S3 also answers so when the object does not exist"}},
		{"no permission to write", s3server.Fault{Method: "PUT", Status: 403, Code: "AccessDenied"}, []string{"s3:PutObject is needed"}},
		{"no bucket", s3server.Fault{Status: 404, Code: "NoSuchBucket"}, []string{"does not exist", "create it, or correct the URI"}},
		{"no object", s3server.Fault{Method: "GET", Key: `\.mcap$`, Status: 404, Code: "NoSuchKey"}, []string{".mcap", "not found"}},
		{"unknown key", s3server.Fault{Status: 403, Code: "InvalidAccessKeyId"}, []string{"does not accept the AWS credentials", "AWS_ACCESS_KEY_ID"}},
		{"wrong secret", s3server.Fault{Status: 403, Code: "SignatureDoesNotMatch"}, []string{"does not accept the AWS credentials"}},
		{"expired", s3server.Fault{Status: 400, Code: "ExpiredToken"}, []string{"have expired", "renew them"}},
		{"encrypted", s3server.Fault{Method: "GET", Key: `\.bag$`, Status: 400, Code: "KMS.DisabledException"}, []string{"kms:Decrypt"}},
		{"elsewhere", s3server.Fault{Status: 301, Code: "PermanentRedirect", Region: "eu-west-1"}, []string{"set AWS_REGION to eu-west-1"}},
		{"bad request", s3server.Fault{Method: "PUT", Status: 400, Code: "InvalidArgument"}, []string{"InvalidArgument"}},
		{"replaced", s3server.Fault{Method: "GET", Key: `\.bag$`, Header: "If-Match", Status: 412, Code: "PreconditionFailed"}, []string{"object changed while it was read"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			struck := p.Inject(1, 1, c.fault)
			defer p.Strike(nil)
			r := invocation{args: runArgs(fmt.Sprintf("s3://%s/permanent-%d", p.Bucket, i), from...)}.run(t)
			want := exitFailed
			if c.fault.Status == http.StatusPreconditionFailed {
				want = exitTransient // the next run lists the object that took its place
			}
			if r.code != want {
				t.Errorf("exit %d, want %d\n%s", r.code, want, r.stderr)
			}
			for _, text := range c.says {
				if !strings.Contains(r.stderr, text) {
					t.Errorf("%q is not said:\n%s", text, r.stderr)
				}
			}
			if n := struck()[0]; n == 0 || n > 30 {
				t.Errorf("%d requests were struck", n)
			}
		})
	}
	t.Run("a list that repeats a page", func(t *testing.T) {
		var pages int
		p.Strike(func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
			if !r.URL.Query().Has("list-type") {
				return false
			}
			if pages++; pages > 20 {
				s3server.Refuse(w, 400, "InvalidArgument", "it goes on for ever")
				return true
			}
			w.Header().Set("Content-Type", "application/xml")
			fmt.Fprint(w, `<?xml version="1.0"?><ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>again</NextContinuationToken></ListBucketResult>`)
			return true
		})
		defer p.Strike(nil)
		r := invocation{args: runArgs("s3://"+p.Bucket+"/repeated", from...)}.run(t)
		if r.code != exitFailed || !strings.Contains(r.stderr, "sends the same page again") {
			t.Errorf("exit %d after %d pages\n%s", r.code, pages, r.stderr)
		}
	})
}
