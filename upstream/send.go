package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	maxRedirects = 5
	// maxTries, firstBackoff and maxWait are the package comment's rules of repetition.
	maxTries     = 3
	firstBackoff = 100 * time.Millisecond
	maxWait      = 2 * time.Second
	// maxDrain is how much of a body is read for the sake of keeping its connection.
	maxDrain = 64 << 10
)

var (
	// errRedirect says that a redirect was not followed.
	errRedirect = errors.New("redirect not followed")
	errProxy    = errors.New("egress proxy is configured wrongly")
)

// trip is a request on its way: where to, and what it carries.
type trip struct {
	method string
	url    *url.URL
	header http.Header
	// form is the body of a POST.
	form string
	// blob: the answer is large; see carrier.
	blob bool
	// alone: over a connection that nothing else is sent over at the same time, and once:
	// whoever asks like this has other ways to the bytes.
	alone bool
	// rank is its place among those who wait for a turn.
	rank rank
	// repository is what it is about, if anything; aside: a blob of that, without which
	// tags can be checked.
	repository string
	aside      bool
	// tokens: asks a token service.
	tokens bool
	// goesOn: for the rest of what has begun to arrive.
	goesOn bool
	// redirected: not to where the upstream is, but to where it said.
	redirected bool
	// allow decides about a redirect beyond the general rules; nil allows it.
	allow func(from, to *url.URL) error
}

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

// service is what a breaker is about: a host, or the token service there.
func (t trip) service(host string) string {
	if t.tokens {
		return "tokens of " + host
	}
	return host
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

// follow sends the request and goes where redirects lead. Once the scheme, host or port
// has changed Authorization is gone for good, even if a later hop leads back.
func (c *Client) follow(ctx context.Context, t trip) (*http.Response, error) {
	at, header := t.url, t.header.Clone()
	for hops := 0; ; hops++ {
		resp, err := c.roundTrip(ctx, t.hop(at, header, hops > 0))
		if err != nil {
			return nil, err
		}
		if resp.StatusCode < 300 || resp.StatusCode > 399 {
			return resp, nil
		}
		next, err := redirectTarget(resp, at)
		discard(resp)
		switch {
		case err != nil:
			return nil, err
		case hops == maxRedirects:
			return nil, fmt.Errorf("%w: more than %d of them", errRedirect, maxRedirects)
		case t.allow != nil:
			if err := t.allow(at, next); err != nil {
				return nil, err
			}
		}
		if !sameOrigin(at, next) {
			header.Del("Authorization")
		}
		at = next
	}
}

// hop is a part of the trip.
func (t trip) hop(at *url.URL, header http.Header, redirected bool) trip {
	t.url, t.header, t.redirected = at, header, redirected
	return t
}

// redirectTarget says where a redirect from one URL leads. Its errors name hosts and never
// the rest, since the query of a signed URL is a secret.
func redirectTarget(resp *http.Response, from *url.URL) (*url.URL, error) {
	switch resp.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
		http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		return nil, fmt.Errorf("%w: status %d from %s", errRedirect, resp.StatusCode, from.Host)
	}
	location := resp.Header.Get("Location")
	next, err := from.Parse(location)
	if err != nil || location == "" || next.Hostname() == "" {
		return nil, fmt.Errorf("%w: %s names no target", errRedirect, from.Host)
	}
	next.User, next.Fragment, next.Scheme = nil, "", strings.ToLower(next.Scheme)
	switch {
	case next.Scheme != "http" && next.Scheme != "https":
		return nil, fmt.Errorf("%w: %s leads to a scheme other than http", errRedirect, from.Host)
	case next.Scheme == "http" && from.Scheme == "https":
		return nil, fmt.Errorf("%w: %s leads from https to http", errRedirect, from.Host)
	case next.String() == from.String():
		return nil, fmt.Errorf("%w: %s leads in a circle", errRedirect, from.Host)
	}
	return next, nil
}

// hopError says which host of a trip did not answer.
type hopError struct {
	host string
	err  error
}

func (e *hopError) Error() string { return e.host + ": " + e.err.Error() }
func (e *hopError) Unwrap() error { return e.err }

// roundTrip sends one request, through the egress proxy if that is set. The answer's body
// breaks when it makes no progress.
func (c *Client) roundTrip(ctx context.Context, t trip) (*http.Response, error) {
	turn, x, err := c.begin(ctx, t)
	if err != nil {
		return nil, &hopError{host: t.url.Host, err: err}
	}
	caller := ctx
	ctx, cancel := context.WithCancelCause(ctx)
	transport, release := c.carrier(t)
	end := func(cause error) {
		cancel(cause)
		release()
		turn.end()
	}
	resp, err := c.sendOne(ctx, transport, t)
	x.end(caller, resp, err, c.cause)
	if err != nil {
		end(nil)
		return nil, &hopError{host: t.url.Host, err: err}
	}
	resp.Body = newProgress(resp.Body, c.cfg.StallTimeout, end)
	return resp, nil
}

// begin waits until the limits of the configuration let the trip begin, unless its host is
// down: then nobody waits for that to be told.
func (c *Client) begin(ctx context.Context, t trip) (*turn, *exchange, error) {
	service, ours := t.service(t.url.Host), t.tokens || t.url.Host == c.base.Host
	if err := c.hosts.of(service, ours).look(t); err != nil {
		return nil, nil, err
	}
	var own *turn
	if sameOrigin(t.url, c.base) {
		var err error
		if own, err = c.queue(ctx, t); err != nil {
			return nil, nil, err
		}
	}
	x, err := c.hosts.of(service, ours).enter(t)
	if err != nil {
		own.unused()
		return nil, nil, err
	}
	return own, x, nil
}

func (c *Client) queue(ctx context.Context, t trip) (*turn, error) {
	began := time.Now()
	own, err := c.gate.enter(ctx, t.rank, t.alone)
	if waited := time.Since(began); waited > 0 && c.gate != nil {
		c.cfg.Metrics.queued(c.cfg.Name, waited)
	}
	return own, err
}

func (c *Client) sendOne(ctx context.Context, transport *http.Transport, t trip) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, t.method, t.url.String(), strings.NewReader(t.form))
	if err != nil {
		return nil, errors.New("request has no valid URL") // its error quotes the URL
	}
	req.Header = t.header.Clone()
	req.Header.Set("User-Agent", c.cfg.UserAgent)
	req.Header.Set("Accept-Encoding", "identity")
	proxy, err := c.cfg.Proxy(req)
	if err != nil {
		return nil, errProxy // its error quotes the login
	}
	if proxy != nil {
		if err := c.dialer.checkProxied(req.URL); err != nil {
			return nil, err
		}
		req = req.WithContext(context.WithValue(ctx, proxied{}, proxy))
	}
	return transport.RoundTrip(req)
}

// discard ends a response whose body nobody wants. A short body is read to its end, which
// keeps the connection.
func discard(resp *http.Response) {
	defer resp.Body.Close()
	if resp.ContentLength <= maxDrain {
		hurry(resp.Body)
		if _, err := io.CopyN(io.Discard, resp.Body, maxDrain); err != nil {
			return // an end is an error, too; how it ended does not matter
		}
	}
}
