package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

var (
	errProxy = errors.New("egress proxy is configured wrongly")
	// errEgress says that the egress proxy lets nothing through.
	errEgress = errors.New("egress proxy")
)

// connected is http.Transport's OnProxyConnectResponse: the transport's own error has no type.
func connected(_ context.Context, _ *url.URL, _ *http.Request, resp *http.Response) error {
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%w answered %d %s", errEgress, resp.StatusCode, http.StatusText(resp.StatusCode))
	}
	return nil
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
	resp.Body = newWatchedBody(resp.Body, c.cfg.StallTimeout, end)
	return resp, nil
}

// begin waits until the limits of the configuration let the trip begin, unless its host is
// down: then nobody waits for that to be told.
func (c *Client) begin(ctx context.Context, t trip) (*turn, *exchange, error) {
	service, ours := t.service(t.url.Host), t.url.Host == c.base.Host
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
