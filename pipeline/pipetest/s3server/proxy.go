package s3server

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
)

// Proxy stands between a client and a Server, counts requests and can spoil
// them.
type Proxy struct {
	// Server is the same server at the address of the proxy.
	Server
	mu       sync.Mutex
	requests []*http.Request
	strike   func(w http.ResponseWriter, r *http.Request, forward http.Handler) bool
}

// StartProxy runs a proxy for s until the end of the test and points the
// environment of the process at it.
func StartProxy(t testing.TB, s *Server) *Proxy {
	t.Helper()
	target, err := url.Parse(s.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	forward := &httputil.ReverseProxy{
		// The signature covers the host, so the client's is kept.
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	p := &Proxy{Server: *s}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.requests = append(p.requests, r.Clone(r.Context()))
		strike := p.strike
		p.mu.Unlock()
		if strike == nil || !strike(w, r, forward) {
			forward.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	p.Endpoint = server.URL
	t.Setenv("AWS_ENDPOINT_URL", p.Endpoint)
	return p
}

// Strike makes f see all further requests; when it returns true it has
// answered, perhaps after calling forward. It runs on many goroutines. Nil
// ends it.
func (p *Proxy) Strike(f func(w http.ResponseWriter, r *http.Request, forward http.Handler) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.strike = f
}

// Requests returns what came in since the last call; bodies are gone.
func (p *Proxy) Requests() []*http.Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.requests
	p.requests = nil
	return r
}

// CutAfter forwards the request and breaks the connection off after n bytes of
// the answer's body.
func CutAfter(w http.ResponseWriter, r *http.Request, forward http.Handler, n int) {
	forward.ServeHTTP(&cutter{ResponseWriter: w, left: n}, r)
}

// HangUp breaks the connection off without an answer.
func HangUp(w http.ResponseWriter) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		if tcp, ok := conn.(*net.TCPConn); ok {
			tcp.SetLinger(0) // a reset, not an orderly end
		}
		conn.Close()
	}
}

type cutter struct {
	http.ResponseWriter
	left int
}

func (c *cutter) Unwrap() http.ResponseWriter { return c.ResponseWriter }

func (c *cutter) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p[:min(len(p), c.left)])
	if c.left -= n; err == nil && n < len(p) {
		http.NewResponseController(c.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	return n, err
}
