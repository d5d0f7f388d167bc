package upstream

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"time"
)

const (
	// maxTries, firstBackoff and maxWait are the package comment's rules of repetition.
	maxTries     = 3
	firstBackoff = 100 * time.Millisecond
	maxWait      = 2 * time.Second
)

// send makes the trip, again if that may help, and returns an answer of any status but a
// redirect. The body ends with ctx.
func (c *Client) send(ctx context.Context, t trip) (*http.Response, error) {
	backoff := firstBackoff
	for try := 1; ; try++ {
		resp, err := c.follow(ctx, t)
		wait, again := repeatable(resp, err, backoff)
		if !again || t.alone || try == maxTries || !fits(ctx, wait) || c.hosts.spares(t.service(last(t, resp, err)), t.repository) {
			return resp, err
		}
		if resp != nil {
			discard(resp)
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, context.Cause(ctx)
		}
		backoff *= 2
	}
}

// last is the host that a trip came to.
func last(t trip, resp *http.Response, err error) string {
	if hop, ok := errors.AsType[*hopError](err); ok {
		return hop.host
	}
	if err == nil {
		return resp.Request.URL.Host
	}
	return t.url.Host
}

// repeatable tells whether to try again and after how long.
func repeatable(resp *http.Response, err error, backoff time.Duration) (time.Duration, bool) {
	wait := backoff/2 + rand.N(backoff)
	if err != nil {
		return wait, transient(err)
	}
	switch resp.StatusCode {
	case http.StatusRequestTimeout, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusGatewayTimeout:
		return wait, true
	case http.StatusServiceUnavailable:
		after, told := retryAfter(resp.Header, time.Now())
		if !told {
			return wait, true
		}
		return max(after, wait), after <= maxWait
	default:
		return 0, false
	}
}

// transient says that a connection broke in a way that may pass. Timeouts are not among
// them: three in a row would take minutes.
func transient(err error) bool {
	if netErr, ok := errors.AsType[net.Error](err); ok && netErr.Timeout() {
		return false
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return true
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return dns.IsTemporary
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Op == "dial" || op.Op == "read" || op.Op == "write"
	}
	// HTTP/2 and the transport have their own words, and no types, for a lost connection.
	text := err.Error()
	return strings.Contains(text, "stream error") || strings.Contains(text, "GOAWAY") ||
		strings.Contains(text, "connection lost") || strings.Contains(text, "server closed")
}

// fits says that ctx leaves time for a wait and something after it.
func fits(ctx context.Context, wait time.Duration) bool {
	deadline, ok := ctx.Deadline()
	return ctx.Err() == nil && (!ok || time.Until(deadline) > wait)
}
