package runner

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// SpotNotice is the announcement that a Spot instance will be taken away.
type SpotNotice struct {
	Action string    `json:"action"` // terminate, stop or hibernate
	Time   time.Time `json:"time"`
}

func (n SpotNotice) String() string {
	return fmt.Sprintf("%s at %s", n.Action, n.Time.UTC().Format(time.RFC3339))
}

// MetadataEndpoint is where an instance asks about itself.
const MetadataEndpoint = "http://169.254.169.254"

// metadataTime bounds one request: the endpoint is on the same machine, or not
// there at all.
const metadataTime = 2 * time.Second

// WatchSpot asks the metadata service of the instance every so often (version
// 2, with a token) whether the instance will be taken away, and returns the
// notice, or the error of the context. A service that does not answer is asked
// again: told is called the first time with why.
func WatchSpot(ctx context.Context, endpoint string, every time.Duration, told func(error)) (SpotNotice, error) {
	w := &spotWatch{endpoint: strings.TrimRight(endpoint, "/"), client: &http.Client{Timeout: metadataTime}}
	timer := time.NewTicker(every)
	defer timer.Stop()
	complained := false
	for {
		n, ok, err := w.ask(ctx)
		switch {
		case ok:
			return n, nil
		case err != nil && ctx.Err() == nil && !complained:
			complained = true
			told(fmt.Errorf("asking %s for a notice of interruption: %w", endpoint, err))
		}
		select {
		case <-timer.C:
		case <-ctx.Done():
			return n, ctx.Err()
		}
	}
}

type spotWatch struct {
	endpoint string
	client   *http.Client
	token    string
}

// ask returns the notice, if there is one.
func (w *spotWatch) ask(ctx context.Context) (n SpotNotice, ok bool, err error) {
	if w.token == "" {
		status, body, err := w.call(ctx, http.MethodPut, "/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds", "21600")
		if err != nil {
			return n, false, err
		}
		if status != http.StatusOK {
			return n, false, fmt.Errorf("no token: HTTP %d", status)
		}
		w.token = string(body)
	}
	status, body, err := w.call(ctx, http.MethodGet, "/latest/meta-data/spot/instance-action", "X-aws-ec2-metadata-token", w.token)
	switch {
	case err != nil:
		return n, false, err
	case status == http.StatusNotFound: // nothing is announced
		return n, false, nil
	case status == http.StatusUnauthorized:
		w.token = ""
		return n, false, nil
	case status != http.StatusOK:
		return n, false, fmt.Errorf("HTTP %d", status)
	}
	if err := json.Unmarshal(body, &n); err != nil {
		return n, false, fmt.Errorf("reading the notice: %w", err)
	}
	return n, true, nil
}

func (w *spotWatch) call(ctx context.Context, method, path, header, value string) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, w.endpoint+path, nil)
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set(header, value)
	answer, err := w.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 64<<10))
	return answer.StatusCode, body, err
}
