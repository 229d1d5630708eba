package observe

import (
	"context"
	"sync/atomic"
)

// RequestKind is what a request to an object store asks for.
type RequestKind uint8

// The kinds of request, as S3 bills them.
const (
	List RequestKind = iota
	Head
	Get
	Put
	UploadStart
	UploadPart
	UploadComplete
	UploadAbort
	Delete
	numKinds
)

var kindNames = [numKinds]string{"list", "head", "get", "put", "upload_start", "upload_part", "upload_complete", "upload_abort", "delete"}

func (k RequestKind) String() string { return kindNames[k] }

// PriceDate is when the prices below were looked up: what Amazon lists for S3
// Standard in us-east-1, in dollars for a thousand requests.
const PriceDate = "2025-06"

const (
	priceWrite = 0.005  // PUT, COPY, POST, LIST
	priceRead  = 0.0004 // GET, HEAD and all others
)

// Prices are what a thousand requests cost, in dollars. Deleting and aborting
// are free.
type Prices struct{ Write, Read float64 }

// ListPrices are those of PriceDate.
var ListPrices = Prices{priceWrite, priceRead}

// of is the price of one request.
func (p Prices) of(k RequestKind) float64 {
	switch k {
	case Delete, UploadAbort:
		return 0
	case Head, Get:
		return p.Read / 1000
	}
	return p.Write / 1000
}

// Requests counts what was sent to object stores: every attempt, because each
// is billed. It is safe for concurrent use.
type Requests struct {
	counts   [numKinds]atomic.Int64
	received atomic.Int64
	sent     atomic.Int64
}

type requestsKey struct{}

// WithRequests returns a context under which stores are opened that count in r.
func WithRequests(ctx context.Context, r *Requests) context.Context {
	return context.WithValue(ctx, requestsKey{}, r)
}

// RequestsFrom returns the counters of a context, or new ones.
func RequestsFrom(ctx context.Context) *Requests {
	if r, ok := ctx.Value(requestsKey{}).(*Requests); ok {
		return r
	}
	return &Requests{}
}

// Add counts one request and the bytes of its body.
func (r *Requests) Add(k RequestKind, sent int64) {
	r.counts[k].Add(1)
	r.sent.Add(max(sent, 0))
}

// Received counts bytes of answers.
func (r *Requests) Received(n int64) { r.received.Add(n) }

// RequestCounts is a snapshot of Requests.
type RequestCounts struct {
	ByKind   map[string]int64 `json:"by_kind"`
	Received int64            `json:"bytes_received"`
	Sent     int64            `json:"bytes_sent"`
	// Dollars is what they cost, by the prices given; 0 where none were.
	Dollars float64 `json:"dollars,omitempty"`
}

// Total is the number of requests.
func (c RequestCounts) Total() int64 {
	var n int64
	for _, k := range c.ByKind {
		n += k
	}
	return n
}

// Counts returns what was counted, and its price.
func (r *Requests) Counts(p Prices) RequestCounts {
	c := RequestCounts{ByKind: make(map[string]int64), Received: r.received.Load(), Sent: r.sent.Load()}
	for k := range numKinds {
		if n := r.counts[k].Load(); n > 0 {
			c.ByKind[k.String()] = n
			c.Dollars += float64(n) * p.of(k)
		}
	}
	return c
}
