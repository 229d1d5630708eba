package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/drivemill/drivemill/pipeline"
	"github.com/drivemill/drivemill/pipeline/pipetest/s3server"
	"github.com/drivemill/drivemill/pipeline/store"
)

// behindProxy is an empty store on a server whose requests a test can spoil.
func behindProxy(t *testing.T) (*s3server.Proxy, pipeline.Store) {
	t.Helper()
	p := s3server.StartProxy(t, s3server.Start(t))
	return p, open(t, "s3://"+p.Bucket)
}

func random(n int) []byte {
	data := make([]byte, n)
	rand.NewChaCha8([32]byte{2}).Read(data)
	return data
}

func write(t testing.TB, s pipeline.Store, key string, data []byte) {
	t.Helper()
	w, err := s.Create(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Finish(t.Context()), w.Publish(t.Context())); err != nil {
		t.Fatal(err)
	}
}

func source(t testing.TB, s pipeline.Store, key string) pipeline.Source {
	t.Helper()
	obj, err := s.Stat(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	src, err := s.Open(t.Context(), obj)
	if err != nil {
		t.Fatal(err)
	}
	return src
}

// summary counts requests by what they ask for.
func summary(requests []*http.Request) string {
	count := map[string]int{}
	var order []string
	for _, r := range requests {
		op := r.Method
		for _, q := range []string{"list-type", "uploads", "partNumber", "uploadId"} {
			if r.URL.Query().Has(q) {
				op += " " + q
				break
			}
		}
		if count[op]++; count[op] == 1 {
			order = append(order, op)
		}
	}
	slices.Sort(order)
	for i, op := range order {
		order[i] = fmt.Sprintf("%s: %d", op, count[op])
	}
	return strings.Join(order, ", ")
}

func TestS3Requests(t *testing.T) {
	p, s := behindProxy(t)
	var all []string
	if err := os.Mkdir(filepath.Join(p.Dir, p.Bucket, "many"), 0o755); err != nil {
		t.Fatal(err)
	}
	for i := range 2500 { // put there behind the server's back, which is faster
		all = append(all, fmt.Sprintf("many/%05d", i))
		if err := os.WriteFile(filepath.Join(p.Dir, p.Bucket, all[i]), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want := func(what, requests string) {
		t.Helper()
		if got := summary(p.Requests()); got != requests {
			t.Errorf("%s makes requests %q, want %q", what, got, requests)
		}
	}
	if got := listed(t, s, "many/"); !slices.Equal(got, all) {
		t.Errorf("%d keys, want %d", len(got), len(all))
	}
	want("a list over 2,500 keys", "GET list-type: 3")

	pattern, err := store.ParsePattern(s.Root() + "/many/{n}")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	if err := store.Find(t.Context(), store.Open, pattern, func(pipeline.Object, map[string]string) error { n++; return nil }); err != nil || n != len(all) {
		t.Errorf("found %d, %v", n, err)
	}
	want("find", "GET list-type: 3")

	write(t, s, "small", []byte("hello"))
	want("a small object", "PUT: 1")
	if _, err := s.Get(t.Context(), "small"); err != nil {
		t.Fatal(err)
	}
	want("get", "GET: 1")
	data := random(20 << 20)
	write(t, s, "big", data)
	requests := p.Requests()
	if got := summary(requests); got != "POST uploadId: 1, POST uploads: 1, PUT partNumber: 3" {
		t.Errorf("an object of 20 MiB makes requests %q", got)
	}
	for _, r := range requests {
		if r.Method == http.MethodPut && r.Header.Get("X-Amz-Checksum-Crc32") == "" {
			t.Errorf("a part without checksum: %v", r.Header)
		}
	}
	src := source(t, s, "big")
	if _, err := src.ReadAt(t.Context(), make([]byte, 20<<20), 0); err != nil {
		t.Fatal(err)
	}
	want("read at of 20 MiB", "GET: 3, HEAD: 1")
	r, err := src.Reader(t.Context(), 0, 4096)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, r); err != nil {
		t.Fatal(err)
	}
	r.Close()
	want("a head of 4 KiB", "GET: 1")
	if r, err = src.Reader(t.Context(), 0, -1); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, r); err != nil {
		t.Fatal(err)
	}
	r.Close()
	want("a stream of 20 MiB: 1, 2, 4, 8 and the rest", "GET: 5")
	w, err := s.Create(t.Context(), "never")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Abort(t.Context()); err != nil {
		t.Fatal(err)
	}
	want("an abort before anything was sent", "")
}

// Bodies that break off are resumed where they did, and no byte is lost.
func TestS3Resumes(t *testing.T) {
	p, s := behindProxy(t)
	data := random(30 << 20)
	write(t, s, "x", data)
	src := source(t, s, "x")
	var n atomic.Int64
	p.Strike(func(w http.ResponseWriter, r *http.Request, forward http.Handler) bool {
		if i := n.Add(1); i%3 != 0 && r.Method == http.MethodGet {
			s3server.CutAfter(w, r, forward, 100_000*int(i))
			return true
		}
		return false
	})
	p.Requests()
	r, err := src.Reader(t.Context(), 5, -1)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	r.Close()
	if err != nil || !bytes.Equal(got, data[5:]) {
		t.Fatalf("stream: %d bytes of %d, %v", len(got), len(data)-5, err)
	}
	requests := p.Requests()
	if len(requests) < 8 {
		t.Errorf("only %d requests: nothing was cut", len(requests))
	}
	for _, r := range requests {
		if r.Header.Get("If-Match") == "" {
			t.Errorf("no If-Match for %s", r.Header.Get("Range"))
		}
	}
	p0 := make([]byte, 20<<20)
	if _, err := src.ReadAt(t.Context(), p0, 7); err != nil || !bytes.Equal(p0, data[7:7+len(p0)]) {
		t.Errorf("read at: %v", err)
	}
	write(t, s, "small", data[:1<<20])
	if got, err := s.Get(t.Context(), "small"); err != nil || !bytes.Equal(got, data[:1<<20]) {
		t.Errorf("get: %d bytes, %v", len(got), err)
	}
}

// A body that breaks off again and again without a byte is given up.
func TestS3GivesUp(t *testing.T) {
	p, s := behindProxy(t)
	put(t, s, "x")
	src := source(t, s, "x")
	p.Strike(func(w http.ResponseWriter, r *http.Request, forward http.Handler) bool {
		s3server.CutAfter(w, r, forward, 0)
		return true
	})
	p.Requests()
	_, err := src.ReadAt(t.Context(), make([]byte, 1), 0)
	checkError(t, "read at", err, nil, true, "s3://bucket/x", "broke off at 0")
	if n := len(p.Requests()); n != 7 {
		t.Errorf("%d requests, want 7", n)
	}
}

// A reader that nobody reads from fetches no more than it may hold.
func TestS3ReaderIsBounded(t *testing.T) {
	p, s := behindProxy(t)
	write(t, s, "x", random(120<<20))
	src := source(t, s, "x")
	p.Requests()
	r, err := src.Reader(t.Context(), 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	settled := func() int64 { // bytes asked for, once no more requests come
		var asked int64
		for quiet := 0; quiet < 10; quiet++ {
			for _, q := range p.Requests() {
				var from, to int64
				if _, err := fmt.Sscanf(q.Header.Get("Range"), "bytes=%d-%d", &from, &to); err != nil {
					t.Fatal(err)
				}
				asked += to + 1 - from
				quiet = 0
			}
			time.Sleep(20 * time.Millisecond)
		}
		return asked
	}
	if asked := settled(); asked > 3<<20 {
		t.Errorf("%d bytes are asked for before anything was read, want 1+2 MiB", asked)
	}
	const read = 20 << 20
	if _, err := io.CopyN(io.Discard, r, read); err != nil {
		t.Fatal(err)
	}
	if asked := settled() + 3<<20; asked > read+40<<20 {
		t.Errorf("%d bytes are asked for after %d were read", asked, read)
	}
	r.Close()
}

// Between two ranges of a stream the object is replaced.
func TestS3ChangedMidStream(t *testing.T) {
	_, s := behindProxy(t)
	data := random(40 << 20)
	write(t, s, "x", data)
	r, err := source(t, s, "x").Reader(t.Context(), 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	head := make([]byte, 100)
	if _, err := io.ReadFull(r, head); err != nil {
		t.Fatal(err)
	}
	write(t, s, "x", data[1:])
	rest, err := io.ReadAll(r)
	if !errors.Is(err, pipeline.ErrChanged) {
		t.Errorf("%d bytes, then %v", len(rest), err)
	}
	if !bytes.HasPrefix(data[100:], rest) {
		t.Error("bytes of both versions")
	}
}

// Trouble that passes is not noticed.
func TestS3Retries(t *testing.T) {
	p, s := behindProxy(t)
	var n atomic.Int64
	p.Strike(func(w http.ResponseWriter, r *http.Request, forward http.Handler) bool {
		switch n.Add(1) % 8 {
		case 1:
			answer(w, http.StatusServiceUnavailable, "SlowDown", "Please reduce your request rate.")
		case 2:
			answer(w, http.StatusInternalServerError, "InternalError", "We encountered an internal error.")
		case 4:
			s3server.HangUp(w)
		case 6:
			answer(w, http.StatusTooManyRequests, "TooManyRequests", "")
		default:
			return false
		}
		return true
	})
	data := random(9 << 20)
	write(t, s, "x", data)
	got := make([]byte, len(data))
	if _, err := source(t, s, "x").ReadAt(t.Context(), got, 0); err != nil || !bytes.Equal(got, data) {
		t.Errorf("read: %v", err)
	}
	if got := listed(t, s, ""); !slices.Equal(got, []string{"x"}) {
		t.Errorf("list: %q", got)
	}
	if err := s.Delete(t.Context(), "x"); err != nil {
		t.Error(err)
	}
}

// The answer to a request that was carried out is lost.
func TestS3LostAnswers(t *testing.T) {
	p, s := behindProxy(t)
	lose := func(match func(r *http.Request) bool) {
		var once atomic.Bool
		p.Strike(func(w http.ResponseWriter, r *http.Request, forward http.Handler) bool {
			if !match(r) || once.Swap(true) {
				return false
			}
			forward.ServeHTTP(discard{http.Header{}}, r)
			s3server.HangUp(w)
			return true
		})
	}
	data := random(20 << 20)
	lose(func(r *http.Request) bool { return r.Method == http.MethodPost && r.URL.Query().Has("uploadId") })
	write(t, s, "x", data)
	got := make([]byte, len(data))
	if _, err := source(t, s, "x").ReadAt(t.Context(), got, 0); err != nil || !bytes.Equal(got, data) {
		t.Errorf("lost complete: %v", err)
	}
	lose(func(r *http.Request) bool { return r.Method == http.MethodDelete })
	if err := s.Delete(t.Context(), "x"); err != nil {
		t.Errorf("lost delete: %v", err)
	}
	// Nobody can tell who wrote it but by reading it.
	lose(func(r *http.Request) bool { return r.Method == http.MethodPut })
	if err := s.PutIfAbsent(t.Context(), "y", []byte("mine")); !errors.Is(err, pipeline.ErrExists) {
		t.Errorf("lost create: %v", err)
	}
	if got, err := s.Get(t.Context(), "y"); err != nil || string(got) != "mine" {
		t.Errorf("%q, %v", got, err)
	}
}

type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}

func answer(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<?xml version=\"1.0\"?><Error><Code>%s</Code><Message>%s</Message><RequestId>R1</RequestId></Error>", code, message)
}

// What is answered for good is of a kind, names the object and what to do,
// and tells no secret.
func TestS3Errors(t *testing.T) {
	t.Setenv("AWS_MAX_ATTEMPTS", "2")
	p, s := behindProxy(t)
	put(t, s, "x")
	src := source(t, s, "x")
	for _, c := range []struct {
		status        int
		code, message string
		kind          error
		transient     bool
		text          string
	}{
		{404, "NoSuchKey", "The specified key does not exist.", pipeline.ErrNotFound, false, "not found"},
		{404, "NoSuchBucket", "The specified bucket does not exist", pipeline.ErrNotFound, false, "the bucket bucket does not exist"},
		{403, "AccessDenied", "Access Denied", pipeline.ErrDenied, false, "s3:GetObject is needed"},
		{403, "SignatureDoesNotMatch", "The request signature", pipeline.ErrDenied, false, "does not accept the AWS credentials"},
		{403, "InvalidAccessKeyId", "unknown", pipeline.ErrDenied, false, "does not accept the AWS credentials"},
		{400, "ExpiredToken", "The provided token has expired.", pipeline.ErrDenied, false, "have expired"},
		{412, "PreconditionFailed", "At least one of the preconditions", pipeline.ErrChanged, false, "changed"},
		{416, "InvalidRange", "The requested range is not satisfiable", pipeline.ErrTruncated, false, "InvalidRange"},
		{301, "PermanentRedirect", "Use another endpoint", nil, false, "another region"},
		{400, "InvalidArgument", "bad", nil, false, "InvalidArgument: bad (HTTP 400)"},
		{501, "NotImplemented", "A header", nil, false, "NotImplemented"},
		{503, "SlowDown", "Please reduce your request rate.", nil, true, "SlowDown"},
		{500, "InternalError", "again", nil, true, "InternalError"},
		{502, "BadGateway", "", nil, true, "HTTP 502"},
		{429, "TooManyRequests", "", nil, true, "TooManyRequests"},
		{409, "ConditionalRequestConflict", "conflict", nil, true, "ConditionalRequestConflict"},
	} {
		p.Strike(func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
			answer(w, c.status, c.code, c.message)
			return true
		})
		ctx, cancel := context.WithCancel(t.Context())
		_, err := src.ReadAt(ctx, make([]byte, 1), 0)
		cancel()
		checkError(t, fmt.Sprintf("%d %s", c.status, c.code), err, c.kind, c.transient, "s3://bucket/x", c.text)
	}
	for name, c := range map[string]struct {
		do   func() error
		text string
	}{
		"list":   {func() error { return s.List(t.Context(), "a/", nil) }, "s3:ListBucket is needed"},
		"stat":   {func() error { _, err := s.Stat(t.Context(), "a/b"); return err }, "s3:GetObject is needed"},
		"put":    {func() error { return s.Put(t.Context(), "a/b", nil) }, "s3:PutObject is needed"},
		"delete": {func() error { return s.Delete(t.Context(), "a/b") }, "s3:DeleteObject is needed"},
	} {
		p.Strike(func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
			answer(w, http.StatusForbidden, "AccessDenied", "Access Denied")
			return true
		})
		checkError(t, name, c.do(), pipeline.ErrDenied, false, "s3://bucket/a/", c.text)
	}
}

// Servers that know no checksums can be written to.
func TestS3WithoutChecksums(t *testing.T) {
	t.Setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")
	p, s := behindProxy(t)
	data := random(9 << 20)
	write(t, s, "x", data)
	put(t, s, "y")
	for _, r := range p.Requests() {
		for name := range r.Header {
			if strings.Contains(strings.ToLower(name), "checksum") {
				t.Errorf("%s %s has %s", r.Method, r.URL, name)
			}
		}
	}
	got := make([]byte, len(data))
	if _, err := source(t, s, "x").ReadAt(t.Context(), got, 0); err != nil || !bytes.Equal(got, data) {
		t.Errorf("read: %v", err)
	}
}

// A conflict of two conditional writes is retried until one has won.
func TestS3ConflictIsRetried(t *testing.T) {
	p, s := behindProxy(t)
	var n atomic.Int64
	p.Strike(func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if n.Add(1) > 2 {
			return false
		}
		answer(w, http.StatusConflict, "ConditionalRequestConflict", "conflict")
		return true
	})
	if err := s.PutIfAbsent(t.Context(), "x", nil); err != nil || n.Load() != 3 {
		t.Errorf("%d requests, %v", n.Load(), err)
	}
}

func checkError(t *testing.T, name string, err, kind error, transient bool, texts ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: no error", name)
		return
	}
	if kind != nil && !errors.Is(err, kind) || pipeline.IsTransient(err) != transient {
		t.Errorf("%s: kind %v, transient %v wanted: %v", name, kind, transient, err)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %q is not in: %v", name, text, err)
		}
	}
	for _, secret := range []string{os.Getenv("AWS_SECRET_ACCESS_KEY"), os.Getenv("AWS_ACCESS_KEY_ID"), os.Getenv("AWS_SESSION_TOKEN")} {
		if secret != "" && strings.Contains(err.Error(), secret) {
			t.Errorf("%s: a secret is in: %v", name, err)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("%s: several lines: %q", name, err)
	}
}

func TestS3Configuration(t *testing.T) {
	server := s3server.Start(t)
	t.Setenv("AWS_MAX_ATTEMPTS", "1")
	stat := func() error {
		_, err := open(t, "s3://"+server.Bucket).Stat(t.Context(), "x")
		return err
	}
	t.Run("no such bucket", func(t *testing.T) {
		s := open(t, "s3://no-such-bucket")
		checkError(t, "list", s.List(t.Context(), "", nil), pipeline.ErrNotFound, false, "the bucket no-such-bucket does not exist")
		checkError(t, "put", s.Put(t.Context(), "x", nil), pipeline.ErrNotFound, false, "no-such-bucket")
	})
	t.Run("wrong secret", func(t *testing.T) {
		t.Setenv("AWS_SECRET_ACCESS_KEY", "not-the-right-one")
		checkError(t, "stat", stat(), pipeline.ErrDenied, false, "s3://bucket/x")
		checkError(t, "list", open(t, "s3://"+server.Bucket).List(t.Context(), "", nil), pipeline.ErrDenied, false, "does not accept the AWS credentials")
	})
	t.Run("no credentials", func(t *testing.T) {
		t.Setenv("AWS_ACCESS_KEY_ID", "")
		t.Setenv("AWS_SECRET_ACCESS_KEY", "")
		checkError(t, "stat", stat(), pipeline.ErrDenied, false, "no usable AWS credentials")
	})
	t.Run("nobody listens", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		t.Setenv("AWS_ENDPOINT_URL", "http://"+l.Addr().String())
		checkError(t, "stat", stat(), nil, true, "connection refused")
	})
	t.Run("endpoint of S3 alone", func(t *testing.T) {
		t.Setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
		t.Setenv("AWS_ENDPOINT_URL_S3", server.Endpoint)
		t.Setenv("AWS_REGION", "")
		if err := stat(); !errors.Is(err, pipeline.ErrNotFound) {
			t.Error(err)
		}
	})
	t.Run("config file", func(t *testing.T) {
		file := t.TempDir() + "/config"
		text := "[profile robots]\nendpoint_url = " + server.Endpoint + "\naws_access_key_id = " + server.AccessKey + "\naws_secret_access_key = " + server.SecretKey + "\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, unset := range []string{"AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"} {
			t.Setenv(unset, "")
		}
		t.Setenv("AWS_CONFIG_FILE", file)
		t.Setenv("AWS_PROFILE", "robots")
		if err := stat(); !errors.Is(err, pipeline.ErrNotFound) {
			t.Error(err)
		}
	})
	for name, c := range map[string]struct{ key, value, text string }{
		"secret in endpoint": {"AWS_ENDPOINT_URL", "http://me:hunter2@127.0.0.1:1", "user name"},
		"no URL":             {"AWS_ENDPOINT_URL", "localhost:9000", "https://host:port"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(c.key, c.value)
			_, err := store.Open(t.Context(), "s3://bucket")
			checkError(t, name, err, nil, false, c.text)
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the secret is in: %v", err)
			}
		})
	}
	t.Run("no region", func(t *testing.T) {
		t.Setenv("AWS_ENDPOINT_URL", "")
		t.Setenv("AWS_REGION", "")
		t.Setenv("AWS_DEFAULT_REGION", "")
		_, err := store.Open(t.Context(), "s3://bucket")
		checkError(t, "open", err, nil, false, "AWS_REGION")
	})
}
