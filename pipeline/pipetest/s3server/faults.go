package s3server

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"regexp"
	"sync"
	"time"
)

// Kind is what a fault does to a request.
type Kind int

// Kinds of fault.
const (
	// Answer answers with the status and code of the fault; nothing is done.
	Answer Kind = iota
	// Hang breaks the connection off; nothing is done.
	Hang
	// Lost does what is asked and breaks the connection off without an answer.
	Lost
	// Cut breaks the connection off in the body of the answer.
	Cut
	// Slow sends the body of the answer in small pieces with pauses.
	Slow
	// Repeat answers a list with the page it answered before.
	Repeat
)

// Fault spoils some of the requests that come through a proxy.
type Fault struct {
	Kind
	Method string // empty: any
	Query  string // a parameter that the request must have; empty: any request
	Header string // a header that the request must have
	Key    string // a regular expression that the path must match; empty: any
	Status int
	Code   string
	// Region goes into the answer, as S3 names that of a bucket elsewhere.
	Region string
}

func (f *Fault) matches(r *http.Request, key *regexp.Regexp) bool {
	return (f.Method == "" || f.Method == r.Method) && (f.Query == "" || r.URL.Query().Has(f.Query)) &&
		(f.Header == "" || r.Header.Get(f.Header) != "") && key.MatchString(r.URL.Path)
}

// RetryableFaults are all kinds of trouble that pass.
func RetryableFaults() []Fault {
	return []Fault{
		{Kind: Answer, Status: 500, Code: "InternalError"},
		{Kind: Answer, Status: 503, Code: "SlowDown"},
		{Kind: Answer, Status: 503, Code: "ServiceUnavailable"},
		{Kind: Answer, Status: 502, Code: "BadGateway"},
		{Kind: Answer, Status: 400, Code: "RequestTimeout"},
		{Kind: Answer, Status: 429, Code: "TooManyRequests"},
		{Kind: Answer, Status: 409, Code: "ConditionalRequestConflict", Header: "If-None-Match"},
		{Kind: Hang},
		{Kind: Lost},
		{Kind: Cut, Method: http.MethodGet},
		{Kind: Slow, Method: http.MethodGet},
	}
}

// Inject strikes a share of the requests, drawn from a generator with that
// seed, with one of the faults that match, drawn as well. It returns how often
// each fault struck.
func (p *Proxy) Inject(seed uint64, share float64, faults ...Fault) (struck func() []int) {
	var mu sync.Mutex
	draw := rand.New(rand.NewPCG(seed, 0))
	counts := make([]int, len(faults))
	keys := make([]*regexp.Regexp, len(faults))
	for i, f := range faults {
		keys[i] = regexp.MustCompile(f.Key)
	}
	pages := make(map[string]http.HandlerFunc)
	choose := func(r *http.Request) (Fault, bool) {
		mu.Lock()
		defer mu.Unlock()
		var fit []int
		for i := range faults {
			if faults[i].matches(r, keys[i]) {
				fit = append(fit, i)
			}
		}
		if len(fit) == 0 || draw.Float64() >= share {
			return Fault{}, false
		}
		i := fit[draw.IntN(len(fit))]
		counts[i]++
		return faults[i], true
	}
	p.Strike(func(w http.ResponseWriter, r *http.Request, forward http.Handler) bool {
		f, ok := choose(r)
		if !ok {
			return false
		}
		switch f.Kind {
		case Answer:
			if f.Region != "" {
				w.Header().Set("X-Amz-Bucket-Region", f.Region)
			}
			Refuse(w, f.Status, f.Code, "injected")
		case Hang:
			HangUp(w)
		case Lost:
			forward.ServeHTTP(&silent{header: http.Header{}}, r)
			HangUp(w)
		case Cut:
			mu.Lock()
			n := draw.IntN(64 << 10)
			mu.Unlock()
			CutAfter(w, r, forward, n)
		case Slow:
			forward.ServeHTTP(&paced{ResponseWriter: w, rate: 1 << 20}, r)
		case Repeat:
			mu.Lock()
			page := pages[r.URL.Query().Get("prefix")]
			mu.Unlock()
			if page == nil {
				rec := &silent{header: http.Header{}}
				forward.ServeHTTP(rec, r)
				page = rec.replay
				mu.Lock()
				pages[r.URL.Query().Get("prefix")] = page
				mu.Unlock()
			}
			page(w, r)
		}
		return true
	})
	return func() []int {
		mu.Lock()
		defer mu.Unlock()
		return append([]int{}, counts...)
	}
}

// Refuse answers with an error in the form of S3.
func Refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<?xml version=\"1.0\"?><Error><Code>%s</Code><Message>%s</Message><RequestId>R1</RequestId></Error>", code, message)
}

// silent keeps an answer to itself.
type silent struct {
	header http.Header
	status int
	body   []byte
}

func (s *silent) Header() http.Header { return s.header }

func (s *silent) Write(p []byte) (int, error) {
	s.body = append(s.body, p...)
	return len(p), nil
}

func (s *silent) WriteHeader(status int) { s.status = status }

func (s *silent) replay(w http.ResponseWriter, _ *http.Request) {
	for k, v := range s.header {
		w.Header()[k] = v
	}
	w.WriteHeader(s.status)
	_, _ = w.Write(s.body) // whoever asked has gone
}

// Throttle makes each connection as slow as one to a store far away: every
// request waits for latency, and bodies of answers come at rate bytes a second.
// 0 and 0 end it.
func (p *Proxy) Throttle(rate float64, latency time.Duration) {
	if rate == 0 {
		p.Strike(nil)
		return
	}
	p.Strike(func(w http.ResponseWriter, r *http.Request, forward http.Handler) bool {
		time.Sleep(latency)
		forward.ServeHTTP(&paced{ResponseWriter: w, rate: rate}, r)
		return true
	})
}

// paced writes at a rate: it sleeps once it is ahead by more than a timer can
// be late.
type paced struct {
	http.ResponseWriter
	rate  float64
	begin time.Time
	sent  float64
}

func (p *paced) Unwrap() http.ResponseWriter { return p.ResponseWriter }

func (p *paced) Write(b []byte) (int, error) {
	if p.begin.IsZero() {
		p.begin = time.Now()
	}
	n, err := p.ResponseWriter.Write(b)
	p.sent += float64(n)
	due := time.Duration(p.sent / p.rate * float64(time.Second))
	if ahead := due - time.Since(p.begin); ahead > 2*time.Millisecond {
		time.Sleep(ahead)
	}
	return n, err
}
