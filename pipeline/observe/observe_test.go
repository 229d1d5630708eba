package observe_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/drivemill/drivemill/pipeline/observe"
	"github.com/drivemill/drivemill/pipeline/retry"
)

func sample() *observe.Run {
	r := &observe.Run{Requests: &observe.Requests{}, Retry: &retry.Policy{}, Prices: observe.ListPrices, Spans: true}
	r.Start(time.Unix(100, 0))
	r.Rows(5)
	r.Bytes(70)
	for range 1000 {
		r.Requests.Add(observe.Put, 3)
		r.Requests.Add(observe.Get, 0)
		r.Requests.Add(observe.Delete, 0)
	}
	r.Requests.Received(9)
	r.Retry.Pause(retry.SlowDown, 1, 0)
	var g observe.Gauge
	g.Batch(5, 40)
	g.Busy(time.Second)
	g.Queue(2)
	g.Queue(4)
	nodes := []observe.Node{g.Node("a \"b\"\n", observe.Source), g.Node("f", observe.Stage)}
	r.Unit(observe.UnitSpan{Name: "u1", Outcome: "done", Begin: time.Unix(101, 0), End: time.Unix(102, 0), Attempts: 1, Nodes: nodes})
	r.Unit(observe.UnitSpan{Name: "u2", Outcome: "failed", Error: "no", Begin: time.Unix(102, 0), End: time.Unix(103, 0), Attempts: 4, Nodes: nodes})
	return r
}

func TestAddNodes(t *testing.T) {
	var g observe.Gauge
	g.Batch(2, 16)
	g.Queue(1)
	g.Queue(3)
	one := []observe.Node{g.Node("x", observe.Stage)}
	sum := observe.AddNodes(observe.AddNodes(nil, one), append(one, observe.Node{Name: "x", Kind: observe.Sink, Rows: 1}))
	if len(sum) != 2 || sum[0].Rows != 4 || sum[0].QueueMean != 2 || sum[0].QueueMax != 3 || sum[1].Rows != 1 {
		t.Errorf("%+v", sum)
	}
}

// Every line of the metrics has the form that the format prescribes, and each
// family is declared once, before its samples.
func TestMetrics(t *testing.T) {
	var out bytes.Buffer
	if err := sample().WriteMetrics(&out); err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`^([a-z_]+)(\{[a-z]+="([^"\\\n]|\\["\\n])*"(,[a-z]+="([^"\\\n]|\\["\\n])*")*\})? [0-9.e+-]+$`)
	declared := make(map[string]bool)
	last := ""
	for l := range strings.Lines(out.String()) {
		l = strings.TrimSuffix(l, "\n")
		if f := strings.Fields(l); strings.HasPrefix(l, "# TYPE ") {
			if declared[f[2]] || f[3] != "counter" || !strings.HasSuffix(f[2], "_total") {
				t.Errorf("%s", l)
			}
			declared[f[2]], last = true, f[2]
		} else if !strings.HasPrefix(l, "# HELP ") {
			m := line.FindStringSubmatch(l)
			if m == nil || m[1] != last {
				t.Errorf("not a sample of %s: %s", last, l)
			}
		}
	}
	for _, want := range []string{
		"drivemill_rows_decoded_total 5\n", "drivemill_units_total{outcome=\"failed\"} 1\n", "drivemill_store_cost_dollars_total 0.0054\n",
		"drivemill_retries_total{class=\"slow_down\"} 1\n", `drivemill_node_rows_total{kind="input",node="a \"b\"\n"} 10` + "\n", "drivemill_node_busy_seconds_total{kind=\"stage\",node=\"f\"} 2\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	file := filepath.Join(t.TempDir(), "m.prom")
	if err := sample().WriteMetricsFile(file); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(file); err != nil || len(data) != out.Len() {
		t.Errorf("file: %d bytes, %v", len(data), err)
	}
	at, stop, err := sample().ServeMetrics("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t.Context())
	answer, err := http.Get("http://" + at + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || len(body) != out.Len() || !strings.HasPrefix(answer.Header.Get("Content-Type"), "text/plain; version=0.0.4") {
		t.Errorf("served: %d bytes, %v, %v", len(body), answer.Header, err)
	}
}

// blocked is a writer that does not take anything until it is opened.
type blocked struct {
	open chan struct{}
	bytes.Buffer
}

func (b *blocked) Write(p []byte) (int, error) {
	<-b.open
	return b.Buffer.Write(p)
}

// A log that nobody reads costs lines, not time.
func TestQueueDropsInsteadOfWaiting(t *testing.T) {
	b := &blocked{open: make(chan struct{})}
	q := observe.NewQueue(b)
	const lines = 10_000
	for range lines {
		if _, err := q.Write([]byte("a line\n")); err != nil {
			t.Fatal(err)
		}
	}
	if q.Dropped() < lines/2 {
		t.Errorf("%d lines dropped", q.Dropped())
	}
	close(b.open)
	q.Close()
	if n := strings.Count(b.String(), "a line\n"); int64(n)+q.Dropped() != lines {
		t.Errorf("%d lines written, %d dropped of %d", n, q.Dropped(), lines)
	}
	if !strings.Contains(b.String(), "lines of the log were dropped") {
		t.Error("the log does not say that lines are missing")
	}
}

func TestTrace(t *testing.T) {
	type request struct {
		ResourceSpans []struct {
			ScopeSpans []struct {
				Spans []struct{ TraceID, SpanID, ParentSpanID, Name, StartTimeUnixNano string }
			}
		}
	}
	var got request
	var header http.Header
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header = r.Header
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil || r.URL.Path != "/v1/traces" {
			t.Errorf("%s: %v", r.URL.Path, err)
		}
	}))
	defer collector.Close()
	env := map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": collector.URL + "/", "OTEL_EXPORTER_OTLP_HEADERS": "a=b%20c, d=e"}
	getenv := func(k string) (string, bool) { v, ok := env[k]; return v, ok }
	trace, ok, err := observe.TraceFrom(getenv)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	if err := sample().Send(t.Context(), trace, "id", time.Unix(104, 0), errors.New("one unit failed")); err != nil {
		t.Fatal(err)
	}
	spans := got.ResourceSpans[0].ScopeSpans[0].Spans
	if len(spans) != 7 || spans[0].Name != "run" || spans[1].ParentSpanID != spans[0].SpanID || spans[2].ParentSpanID != spans[1].SpanID ||
		len(spans[0].TraceID) != 32 || len(spans[0].SpanID) != 16 || spans[0].StartTimeUnixNano != "100000000000" {
		t.Errorf("%+v", spans)
	}
	if header.Get("a") != "b c" || header.Get("d") != "e" || header.Get("Content-Type") != "application/json" {
		t.Errorf("headers %v", header)
	}
	env["OTEL_EXPORTER_OTLP_PROTOCOL"] = "grpc"
	if _, _, err := observe.TraceFrom(getenv); err == nil {
		t.Error("grpc is taken")
	}
	clear(env)
	if _, ok, err := observe.TraceFrom(getenv); ok || err != nil {
		t.Errorf("traces that nobody asked for: %v, %v", ok, err)
	}
}
