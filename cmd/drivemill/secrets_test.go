package main

import (
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/drivemill/drivemill/pipeline/pipetest/s3server"
)

// secrets are what the environment of these tests holds, and what no output
// may.
var secrets = []string{"wJalrXUtnFEMIsecret/KEYbPxRfiCY", "FwoGZXIvYXdzEBYsession", "hunter2"}

// checkNoSecrets greps what a process printed and left behind.
func checkNoSecrets(t *testing.T, what string, r result, dirs ...string) {
	t.Helper()
	for _, secret := range secrets {
		if strings.Contains(r.stdout, secret) || strings.Contains(r.stderr, secret) {
			t.Errorf("%s: %q was printed:\n%s%s", what, secret, r.stdout, r.stderr)
		}
		for _, dir := range dirs {
			err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
				if err != nil || !d.Type().IsRegular() {
					return err
				}
				data, err := os.ReadFile(path)
				if strings.Contains(string(data), secret) || strings.Contains(path, secret) {
					t.Errorf("%s: %q is in %s", what, secret, path)
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		}
	}
}

// Credentials of the environment show up nowhere: neither in what is printed
// nor in the lake with its state and lineage, when all goes well and when the
// server answers with errors that repeat them.
func TestSecretsStaySecret(t *testing.T) {
	p := s3server.StartProxy(t, s3server.Start(t))
	own := []string{p.AccessKey, p.SecretKey}
	fine := "s3://" + p.Bucket + "/lake"
	t.Run("a good run", func(t *testing.T) {
		before := secrets
		secrets = append(secrets[:len(secrets):len(secrets)], own[1])
		defer func() { secrets = before }()
		for _, format := range []string{"json", "text"} {
			checkNoSecrets(t, format, mustRun(t, nil, append(runArgs(fine), "--log-format", format)...), p.Dir)
		}
	})
	environment := []string{
		"AWS_SECRET_ACCESS_KEY=" + secrets[0], "AWS_SESSION_TOKEN=" + secrets[1], "AWS_MAX_ATTEMPTS=2",
		"OPENLINEAGE_PARENT_ID=airflow/dag.task/01941f29-7c00-7087-8940-40e512c257bd",
	}
	t.Run("a server that repeats what it was sent", func(t *testing.T) {
		p.Strike(func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
			w.WriteHeader(http.StatusForbidden)
			_, _ = w.Write([]byte("<Error><Code>SignatureDoesNotMatch</Code><Message>no</Message><StringToSign>" +
				r.Header.Get("Authorization") + r.Header.Get("X-Amz-Security-Token") + "</StringToSign></Error>"))
			return true
		})
		r := invocation{args: append(runArgs(fine), "--log-format", "json"), env: environment}.run(t)
		if r.code != exitFailed {
			t.Errorf("exit %d: %s", r.code, r.stderr)
		}
		checkNoSecrets(t, "refused", r, p.Dir)
		if strings.Contains(r.stderr, "Signature=") {
			t.Errorf("the signature was printed: %s", r.stderr)
		}
	})
	t.Run("an endpoint with a password", func(t *testing.T) {
		r := invocation{args: runArgs(fine), env: append(environment, "AWS_ENDPOINT_URL=https://me:hunter2@127.0.0.1:1")}.run(t)
		if r.code == 0 {
			t.Error("it was taken")
		}
		checkNoSecrets(t, "endpoint", r)
	})
	t.Run("an endpoint in the clear", func(t *testing.T) {
		r := invocation{args: runArgs(fine), env: append(environment, "AWS_ENDPOINT_URL=http://192.0.2.1:9000")}.run(t)
		if r.code == 0 || !strings.Contains(r.stderr, "not encrypted") {
			t.Errorf("exit %d: %s", r.code, r.stderr)
		}
	})
}

// Credentials in pipelines, overrides and arguments are refused before anything
// is done with them.
func TestSecretsAreRefused(t *testing.T) {
	lake := filepath.Join(t.TempDir(), "lake")
	file := filepath.Join(t.TempDir(), "p.yaml")
	for _, c := range []struct {
		name, pipeline string
		args           []string
	}{
		{"uri in --set", "", []string{"run", drivesPipeline, "--set", "outputs.lake.uri=s3://key:hunter2@bucket/lake"}},
		{"assignment in --set", "", []string{"run", drivesPipeline, "--set", "outputs.lake.uri=" + lake, "--set", "description=AWS_SECRET_ACCESS_KEY=hunter2"}},
		{"environment in --set", "", []string{"run", drivesPipeline, "--set", "outputs.lake.uri=" + lake, "--set", "description=see " + secrets[0]}},
		{"variable in a pipeline", "description: ${AWS_SECRET_ACCESS_KEY}\n", []string{"run", file}},
		{"signature in a pipeline", "description: https://h/x?X-Amz-Signature=hunter2\n", []string{"run", file}},
		{"pipeline's own URI", "", []string{"run", "s3://key:hunter2@bucket/p.yaml"}},
		{"presigned pipeline", "", []string{"validate", "https://bucket.example/p.yaml?X-Amz-Signature=hunter2"}},
		{"inspect", "", []string{"inspect", "s3://key:hunter2@bucket/x.bag"}},
		{"cat", "", []string{"cat", "s3://key:hunter2@bucket/x.bag"}},
		{"trace", "", []string{"lineage", "trace", "s3://key:hunter2@bucket/x.parquet"}},
		{"manifest", "", []string{"run", "--manifest", "s3://key:hunter2@bucket/manifest.json"}},
		{"finish", "", []string{"finish", "--manifest", "s3://key:hunter2@bucket/manifest.json"}},
		{"output file", "", []string{"plan", drivesPipeline, "--output-file", "s3://key:hunter2@bucket/plan.json"}},
		{"gc", "", []string{"gc", "s3://key:hunter2@bucket/lake"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.pipeline != "" {
				text := "pipeline: p\n" + c.pipeline + "inputs: {a: {uri: testdata/drives/*/*/*.bag}}\noutputs: {lake: {use: parquet, from: a, uri: " + lake + "}}\n"
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			r := invocation{args: c.args, env: []string{"AWS_SECRET_ACCESS_KEY=" + secrets[0]}}.run(t)
			if r.code == 0 || !strings.Contains(r.stderr, "credentials") {
				t.Errorf("exit %d: %s%s", r.code, r.stdout, r.stderr)
			}
			checkNoSecrets(t, c.name, r)
			if _, err := os.Stat(lake); err == nil {
				t.Error("the lake was made")
			}
		})
	}
}

// The largest array has 10,000 children, and more is refused before anything
// is read.
func TestPlanRefusals(t *testing.T) {
	for _, c := range []struct {
		text string
		args []string
	}{
		{"at most 10000 children", []string{"--shards", "10001"}},
		{"want 1 or more", []string{"--shards", "-1"}},
		{"names no object", []string{"--output-file", "s3://bucket/"}},
		{"unknown scheme", []string{"--output-file", "gs://bucket/x"}},
	} {
		r := invocation{args: append([]string{"plan", drivesPipeline, "--set", "outputs.lake.uri=" + t.TempDir()}, c.args...)}.run(t)
		if r.code != exitUsage || !strings.Contains(r.stderr, c.text) {
			t.Errorf("%q: exit %d: %s", c.args, r.code, r.stderr)
		}
	}
}
