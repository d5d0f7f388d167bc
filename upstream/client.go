package upstream

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"sync/atomic"
	"time"
)

const (
	tlsTimeout    = 10 * time.Second
	headerTimeout = 30 * time.Second
	idleTimeout   = 90 * time.Second
	// idlePerHost lets a burst of clients keep its connections for the next burst.
	idlePerHost    = 64
	maxHeaderBytes = 256 << 10
	// pingAfter finds out that an HTTP/2 connection is dead, which otherwise many
	// requests would wait on.
	pingAfter = 15 * time.Second
)

// acceptManifests is asked for always and whole: registries that convert give a tag
// another digest for another list.
const acceptManifests = "application/vnd.oci.image.index.v1+json, " +
	"application/vnd.oci.image.manifest.v1+json, " +
	"application/vnd.docker.distribution.manifest.list.v2+json, " +
	"application/vnd.docker.distribution.manifest.v2+json"

// Client is one upstream. It is safe for concurrent use.
type Client struct {
	cfg       Config   // with its defaults filled in
	base      *url.URL // scheme and host, normalised
	secrets   *secrets
	dialer    *dialer
	transport *http.Transport
	// alone has no HTTP/2, so that of requests at the same time each has a connection.
	alone *http.Transport
	lanes lanes
	rate  rateLimit
	hosts *breakers
	gate  *gate
	// scheme is how the upstream wants to be logged in to; nil while nobody knows.
	scheme   atomic.Pointer[scheme]
	accounts *accounts
	log      *slog.Logger
}

// Format prints the upstream's name, whatever the verb: what a Client holds is secret.
func (c *Client) Format(f fmt.State, _ rune) { fmt.Fprint(f, "upstream "+c.cfg.Name) }

// New checks the configuration and returns a Client. It does no network IO.
func New(cfg Config) (*Client, error) {
	base, err := normalise(cfg)
	if err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	c := &Client{cfg: cfg, base: base, secrets: newSecrets(), log: cfg.Logger}
	c.dialer = &dialer{resolver: cfg.Resolver, connect: cfg.DialContext, private: cfg.Private}
	c.transport, c.alone = c.newTransport(), c.newTransport()
	c.transport.ForceAttemptHTTP2 = true
	c.transport.HTTP2 = &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingAfter}
	c.alone.Protocols = new(http.Protocols)
	c.alone.Protocols.SetHTTP1(true)
	c.hosts = newBreakers(cfg.Name, cfg.Logger, cfg.Metrics)
	c.gate = newGate(cfg.Rate, cfg.Concurrency)
	if c.accounts, err = newAccounts(c, cfg.Credentials); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *Client) newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                  egress,
		OnProxyConnectResponse: connected,
		DialContext:            c.dialer.dial,
		TLSClientConfig:        &tls.Config{RootCAs: c.cfg.RootCAs, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    tlsTimeout,
		ResponseHeaderTimeout:  headerTimeout,
		IdleConnTimeout:        idleTimeout,
		MaxIdleConnsPerHost:    idlePerHost,
		MaxResponseHeaderBytes: maxHeaderBytes,
		DisableCompression:     true,
	}
}

// Close ends the Client's goroutines, waits for them, and closes idle connections.
// Bodies that are being read stay readable.
func (c *Client) Close() {
	c.cfg.Metrics.unwatch(c.hosts)
	c.accounts.close()
	c.transport.CloseIdleConnections()
	c.alone.CloseIdleConnections()
}

// Do asks the upstream. Every error is an *Error; it wraps ctx's cause if that is why.
// The Response's Body ends with ctx.
func (c *Client) Do(ctx context.Context, r Request) (*Response, error) {
	began := time.Now()
	resp, fault := c.do(ctx, r)
	if fault != nil {
		c.cfg.Metrics.request(c.cfg.Name, r.Kind, fault.Status, time.Since(began))
		return nil, fault
	}
	c.cfg.Metrics.request(c.cfg.Name, r.Kind, resp.Status, time.Since(began))
	return resp, nil
}

func (c *Client) do(ctx context.Context, r Request) (*Response, *Error) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return nil, c.fail(r, Unavailable, "only GET and HEAD are asked")
	}
	if p := r.path(); path.Clean(p) != p { // whoever parsed the name should have seen it
		return nil, c.fail(r, Unavailable, "name is no path")
	}
	return c.accounts.ask(ctx, r)
}

// unauthorised says that another login may help. ECR Public answers 400 to a token that is
// good no more (aws/containers-roadmap#2835).
func (f answerFault) unauthorised() bool {
	return !f.elsewhere && (f.status == http.StatusUnauthorized ||
		!f.html && (f.status == http.StatusForbidden || f.status == http.StatusBadRequest && f.token))
}

// hidden says that it may be there for who logs in: some answer 404 to others, instead of
// asking for a login (containerd#3291; Artifactory, if it is told to hide what it has).
func (f answerFault) hidden() bool {
	return !f.elsewhere && !f.html && f.status == http.StatusNotFound
}

func usable(r Request, status int) bool {
	return status == http.StatusOK || status == http.StatusPartialContent && r.rangeHeader() != ""
}
