package observe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// WriteMetrics writes the counters of a run in the text format of Prometheus,
// version 0.0.4.
func (r *Run) WriteMetrics(out io.Writer) error {
	s := r.state()
	w := &metricWriter{}
	w.family("drivemill_rows_decoded_total", "counter", "Rows decoded from recordings.")
	w.sample("drivemill_rows_decoded_total", float64(s.rows))
	w.family("drivemill_read_bytes_total", "counter", "Bytes read of recordings.")
	w.sample("drivemill_read_bytes_total", float64(s.bytes))
	w.family("drivemill_units_total", "counter", "Units that ended, by outcome.")
	for _, k := range slices.Sorted(maps.Keys(s.units)) {
		w.sample("drivemill_units_total", float64(s.units[k]), "outcome", k)
	}
	w.family("drivemill_store_requests_total", "counter", "Requests sent to object stores, each attempt counted.")
	for _, k := range slices.Sorted(maps.Keys(s.requests.ByKind)) {
		w.sample("drivemill_store_requests_total", float64(s.requests.ByKind[k]), "kind", k)
	}
	w.family("drivemill_store_bytes_total", "counter", "Bytes exchanged with object stores.")
	w.sample("drivemill_store_bytes_total", float64(s.requests.Received), "direction", "received")
	w.sample("drivemill_store_bytes_total", float64(s.requests.Sent), "direction", "sent")
	w.family("drivemill_store_cost_dollars_total", "counter", "Price of the requests.")
	w.sample("drivemill_store_cost_dollars_total", s.requests.Dollars)
	w.family("drivemill_retries_total", "counter", "What was tried again, by why.")
	for _, k := range slices.Sorted(maps.Keys(s.retries)) {
		w.sample("drivemill_retries_total", float64(s.retries[k]), "class", string(k))
	}
	w.family("drivemill_log_lines_dropped_total", "counter", "Lines of the log that were dropped.")
	w.sample("drivemill_log_lines_dropped_total", float64(s.dropped))
	for _, f := range []struct {
		name, help string
		value      func(Node) float64
	}{
		{"drivemill_node_rows_total", "Rows a node took in, of units that ended.", func(n Node) float64 { return float64(n.Rows) }},
		{"drivemill_node_bytes_total", "Bytes of these rows in memory.", func(n Node) float64 { return float64(n.Bytes) }},
		{"drivemill_node_busy_seconds_total", "Seconds its workers were at work.", func(n Node) float64 { return n.Busy }},
		{"drivemill_node_input_seconds_total", "Seconds it waited for input; of an input: seconds in reads.", func(n Node) float64 { return n.Input }},
		{"drivemill_node_output_seconds_total", "Seconds nobody took its output.", func(n Node) float64 { return n.Output }},
	} {
		w.family(f.name, "counter", f.help)
		for _, n := range s.nodes {
			w.sample(f.name, f.value(n), "kind", string(n.Kind), "node", n.Name)
		}
	}
	_, err := out.Write(w.Bytes())
	return err
}

type metricWriter struct{ bytes.Buffer }

func (w *metricWriter) family(name, kind, help string) {
	fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

// labelValue escapes what the format escapes in values of labels.
var labelValue = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)

// sample writes a line; labels are names and values in turn.
func (w *metricWriter) sample(name string, v float64, labels ...string) {
	w.WriteString(name)
	for i := 0; i < len(labels); i += 2 {
		sep := ","
		if i == 0 {
			sep = "{"
		}
		fmt.Fprintf(w, `%s%s="%s"`, sep, labels[i], labelValue.Replace(labels[i+1]))
	}
	if len(labels) > 0 {
		w.WriteByte('}')
	}
	w.WriteByte(' ')
	w.WriteString(strconv.FormatFloat(v, 'g', -1, 64))
	w.WriteByte('\n')
}

// WriteMetricsFile writes the metrics to a file for the textfile collector of
// node_exporter: beside it first, then renamed, so that nobody reads half of it.
func (r *Run) WriteMetricsFile(path string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".metrics-*")
	if err != nil {
		return fmt.Errorf("writing metrics: %w", err)
	}
	err = r.WriteMetrics(f)
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("writing metrics: %w", err)
	}
	return nil
}

// ServeMetrics answers GET /metrics at addr until stop is called. It returns
// the address, which tells the port where addr has port 0.
func (r *Run) ServeMetrics(addr string) (at string, stop func(context.Context), err error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return "", nil, fmt.Errorf("listening for metrics: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		_ = r.WriteMetrics(w) // whoever asked has gone
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l) // ends by Shutdown
	}()
	return l.Addr().String(), func(ctx context.Context) {
		_ = server.Shutdown(ctx)
		<-done
	}, nil
}
