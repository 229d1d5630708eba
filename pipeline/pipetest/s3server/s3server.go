// Package s3server runs a real S3 server for tests: versitygw on loopback, over
// a temporary directory. Mocks of S3 leave out what the stores depend on, such
// as conditional writes.
//
// The program is taken from the environment variable DRIVEMILL_VERSITYGW, or
// from .tools/ at the root of the repository, where it is built once in its
// pinned version. That needs the network; without it tests are skipped, except
// when CI=true.
package s3server

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/lockedfile"
)

const (
	module  = "github.com/versity/versitygw"
	version = "v1.8.0"
)

// Server is a running S3 server with one empty bucket.
type Server struct {
	Endpoint  string // http://127.0.0.1:port
	AccessKey string
	SecretKey string
	Region    string
	Bucket    string
	// Dir is where the server keeps the bucket: an object is a file below it.
	Dir string
}

// Env returns the environment, as KEY=value, with which an AWS SDK finds the
// server and nothing else: neither the configuration nor the role of the machine.
func (s *Server) Env() []string {
	return []string{
		"AWS_ENDPOINT_URL=" + s.Endpoint,
		"AWS_ENDPOINT_URL_S3=",
		"AWS_ACCESS_KEY_ID=" + s.AccessKey,
		"AWS_SECRET_ACCESS_KEY=" + s.SecretKey,
		"AWS_SESSION_TOKEN=",
		"AWS_REGION=" + s.Region,
		"AWS_PROFILE=",
		"AWS_CONFIG_FILE=" + os.DevNull,
		"AWS_SHARED_CREDENTIALS_FILE=" + os.DevNull,
		"AWS_EC2_METADATA_DISABLED=true",
	}
}

// Start runs a server until the end of the test, and sets the environment of
// the process so that the SDK finds it; a test that calls it cannot be parallel.
func Start(t testing.TB) *Server {
	t.Helper()
	s := Run(t)
	for _, kv := range s.Env() {
		key, value, _ := strings.Cut(kv, "=")
		t.Setenv(key, value)
	}
	return s
}

// Run is Start without the environment: what is started with Env finds the server.
func Run(t testing.TB) *Server {
	t.Helper()
	program, err := install()
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("no S3 server: %v", err)
		}
		t.Skipf("THE S3 STORE IS NOT TESTED: no S3 server: %v", err)
	}
	s := &Server{
		AccessKey: "drivemilltest", SecretKey: "drivemilltestsecret",
		Region: "us-east-1", Bucket: "bucket", Dir: t.TempDir(),
	}
	if err := os.Mkdir(filepath.Join(s.Dir, s.Bucket), 0o755); err != nil {
		t.Fatal(err)
	}
	// Somebody else may take the free port before the server does.
	for try := 1; ; try++ {
		err := s.start(t, program)
		if err == nil {
			return s
		}
		if try == 5 {
			t.Fatalf("starting the S3 server: %v", err)
		}
	}
}

func (s *Server) start(t testing.TB, program string) error {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	addr := free.Addr().String()
	free.Close()

	cmd := exec.Command(program, "--port", addr, "--region", s.Region, "--health", "/health", "--quiet", "posix", s.Dir)
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+s.AccessKey, "ROOT_SECRET_KEY="+s.SecretKey)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	started := make(chan error, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := startTied(cmd); err != nil {
			started <- err
			return
		}
		started <- nil
		cmd.Wait()
	}()
	if err := <-started; err != nil {
		return err
	}
	stop := func() {
		cmd.Process.Kill()
		<-ended
	}
	deadline := time.Now().Add(20 * time.Second)
	for !healthy("http://" + addr + "/health") {
		select {
		case <-ended:
			return fmt.Errorf("%s ended: %s", program, output.String())
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			stop()
			return fmt.Errorf("%s is not ready after 20 s: %s", program, output.String())
		}
	}
	s.Endpoint = "http://" + addr
	t.Cleanup(stop)
	return nil
}

func healthy(url string) bool {
	client := http.Client{Timeout: time.Second}
	answer, err := client.Get(url)
	if err != nil {
		return false
	}
	answer.Body.Close()
	return answer.StatusCode == http.StatusOK
}

// install returns the path of the server program, building it if need be. It
// tries once in a process.
var install = sync.OnceValues(func() (string, error) {
	if program := os.Getenv("DRIVEMILL_VERSITYGW"); program != "" {
		if _, err := os.Stat(program); err != nil {
			return "", fmt.Errorf("DRIVEMILL_VERSITYGW: %w", err)
		}
		return program, nil
	}
	root, err := repositoryRoot()
	if err != nil {
		return "", err
	}
	tools := filepath.Join(root, ".tools")
	program := filepath.Join(tools, "versitygw")
	if pinned(program) {
		return program, nil
	}
	if err := os.MkdirAll(tools, 0o755); err != nil {
		return "", err
	}
	unlock, err := lockedfile.MutexAt(filepath.Join(tools, "versitygw.lock")).Lock()
	if err != nil {
		return "", err
	}
	defer unlock()
	if pinned(program) {
		return program, nil // another process was faster
	}
	building, err := os.MkdirTemp(tools, "build-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(building)
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "install", module+"/cmd/versitygw@"+version)
	cmd.Dir = building
	cmd.Env = append(os.Environ(), "GOBIN="+building, "GOFLAGS=", "GOWORK=off", "CGO_ENABLED=0", "GOOS=", "GOARCH=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go install %s@%s: %w\n%s", module, version, err, out)
	}
	return program, os.Rename(filepath.Join(building, "versitygw"), program)
})

// pinned reports whether program is there, in the pinned version.
func pinned(program string) bool {
	info, err := buildinfo.ReadFile(program)
	return err == nil && info.Main.Path == module && info.Main.Version == version
}

// repositoryRoot looks for go.mod above the directory of the test.
func repositoryRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("no go.mod above the working directory")
		}
		dir = parent
	}
}
