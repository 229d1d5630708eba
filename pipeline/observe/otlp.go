package observe

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Trace is where spans are sent: OTLP over HTTP, in its JSON encoding
// (OpenTelemetry protocol 1.x, sections "OTLP/HTTP" and "JSON Protobuf
// Encoding"), configured as its specification of exporters says.
type Trace struct {
	URL     string
	Headers map[string]string
	Service string
}

// TraceFrom reads the configuration of the environment; false when nobody
// asked for traces.
func TraceFrom(getenv func(string) (string, bool)) (Trace, bool, error) {
	first := func(names ...string) string {
		for _, n := range names {
			if v, ok := getenv(n); ok && v != "" {
				return v
			}
		}
		return ""
	}
	t := Trace{URL: first("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"), Service: first("OTEL_SERVICE_NAME"), Headers: make(map[string]string)}
	if t.URL == "" {
		base := first("OTEL_EXPORTER_OTLP_ENDPOINT")
		if base == "" || first("OTEL_SDK_DISABLED") == "true" {
			return t, false, nil
		}
		t.URL = strings.TrimRight(base, "/") + "/v1/traces"
	}
	if p := first("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"); p == "grpc" {
		return t, false, fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL is grpc: only HTTP is spoken, set it to http/json and the endpoint to the port for HTTP (4318)")
	}
	if t.Service == "" {
		t.Service = "drivemill"
	}
	for _, pair := range strings.Split(first("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"), ",") {
		name, value, ok := strings.Cut(strings.TrimSpace(pair), "=")
		if !ok {
			continue
		}
		if v, err := url.QueryUnescape(value); err == nil {
			value = v
		}
		t.Headers[name] = value
	}
	return t, true, nil
}

// spansPerRequest bounds one request.
const spansPerRequest = 512

type attribute struct {
	Key   string         `json:"key"`
	Value map[string]any `json:"value"`
}

func text(key, v string) attribute { return attribute{key, map[string]any{"stringValue": v}} }

// number: the encoding has 64 bit integers as strings.
func number(key string, v int64) attribute {
	return attribute{key, map[string]any{"intValue": strconv.FormatInt(v, 10)}}
}

func double(key string, v float64) attribute {
	return attribute{key, map[string]any{"doubleValue": v}}
}

type span struct {
	TraceID    string         `json:"traceId"`
	SpanID     string         `json:"spanId"`
	Parent     string         `json:"parentSpanId,omitempty"`
	Name       string         `json:"name"`
	Kind       int            `json:"kind"` // 1: internal
	Start      string         `json:"startTimeUnixNano"`
	End        string         `json:"endTimeUnixNano"`
	Attributes []attribute    `json:"attributes"`
	Status     map[string]any `json:"status,omitempty"`
}

func identifier(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

func unixText(t time.Time) string { return strconv.FormatInt(t.UnixNano(), 10) }

// Send sends the spans of the run, its units and their nodes. A node's span has
// the time of its unit, and its busy and waiting seconds as attributes.
func (r *Run) Send(ctx context.Context, t Trace, run string, end time.Time, failure error) error {
	s := r.state()
	trace, root := identifier(16), identifier(8)
	top := span{TraceID: trace, SpanID: root, Name: "run", Kind: 1, Start: unixText(s.begin), End: unixText(end),
		Attributes: []attribute{text("drivemill.run", run), number("drivemill.rows", s.rows), number("drivemill.spans_left_out", s.lost)}, Status: status(failure)}
	spans := []span{top}
	for _, u := range s.spans {
		id := identifier(8)
		us := span{TraceID: trace, SpanID: id, Parent: root, Name: "unit", Kind: 1, Start: unixText(u.Begin), End: unixText(u.End),
			Attributes: []attribute{text("drivemill.unit", u.Name), text("drivemill.outcome", u.Outcome), number("drivemill.attempts", int64(u.Attempts))}}
		if u.Error != "" {
			us.Status = map[string]any{"code": 2, "message": u.Error}
		}
		spans = append(spans, us)
		for _, n := range u.Nodes {
			spans = append(spans, span{TraceID: trace, SpanID: identifier(8), Parent: id, Name: string(n.Kind) + " " + n.Name, Kind: 1,
				Start: us.Start, End: us.End, Attributes: []attribute{number("drivemill.rows", n.Rows), number("drivemill.bytes", n.Bytes),
					double("drivemill.busy_seconds", n.Busy), double("drivemill.input_seconds", n.Input), double("drivemill.output_seconds", n.Output)}})
		}
	}
	for len(spans) > 0 {
		n := min(len(spans), spansPerRequest)
		if err := t.post(ctx, spans[:n]); err != nil {
			return fmt.Errorf("sending the trace: %w", err)
		}
		spans = spans[n:]
	}
	return nil
}

func status(err error) map[string]any {
	if err == nil {
		return nil
	}
	return map[string]any{"code": 2, "message": err.Error()}
}

func (t Trace) post(ctx context.Context, spans []span) error {
	body, err := json.Marshal(map[string]any{"resourceSpans": []any{map[string]any{
		"resource":   map[string]any{"attributes": []attribute{text("service.name", t.Service)}},
		"scopeSpans": []any{map[string]any{"scope": map[string]any{"name": "drivemill"}, "spans": spans}},
	}}})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.URL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	for k, v := range t.Headers {
		req.Header.Set(k, v)
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 1<<20)) // so that the connection is used again
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("the collector answered %s", answer.Status)
	}
	return nil
}
