package upstream

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"
)

// Client is one upstream. It is safe for concurrent use.
type Client struct {
	cfg  Config
	base *url.URL // scheme and host, normalised
}

// New checks the configuration and returns a Client. It does no network IO.
func New(cfg Config) (*Client, error) {
	base, err := normalise(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("upstream %s: %w", cfg.Name, err)
	}
	return &Client{cfg: cfg, base: base}, nil
}

// Name is the upstream's configured name.
func (c *Client) Name() string { return c.cfg.Name }

// Host is the upstream's own host in lower case, with its port unless that is the
// scheme's default.
func (c *Client) Host() string { return c.base.Host }

// Fingerprint is 16 hex digits that stay the same as long as the upstream's scheme, host
// and user name do, whatever it is called in the configuration.
func (c *Client) Fingerprint() string {
	sum := sha256.Sum256([]byte(c.base.String() + "\n" + c.cfg.Credential.Username))
	return hex.EncodeToString(sum[:8])
}

// Close ends the Client's goroutines, waits for them, and closes idle connections.
// Bodies that are being read stay readable.
func (c *Client) Close() {}

// Do asks the upstream. Every error is an *Error; it wraps ctx's cause if that is why.
// The Response's Body ends with ctx.
func (c *Client) Do(ctx context.Context, r Request) (*Response, error) {
	return nil, &Error{
		Upstream: c.cfg.Name, Op: r.op(), Class: Unavailable,
		Message: "not yet implemented", Err: context.Cause(ctx),
	}
}

// normalise returns u with scheme and host in lower case, without the scheme's default
// port and without a path.
func normalise(u *url.URL) (*url.URL, error) {
	switch {
	case u == nil || u.Host == "" || u.Hostname() == "":
		return nil, fmt.Errorf("url has no host")
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		return nil, fmt.Errorf("url of host %s has more than scheme and host", u.Host)
	}
	scheme := strings.ToLower(u.Scheme)
	if scheme != "http" && scheme != "https" {
		return nil, fmt.Errorf("url of host %s is neither http nor https", u.Host)
	}
	out := &url.URL{Scheme: scheme, Host: strings.ToLower(u.Host)}
	out.Host = strings.TrimSuffix(out.Host, ":"+defaultPort(scheme))
	return out, nil
}

func defaultPort(scheme string) string {
	if scheme == "https" {
		return "443"
	}
	return "80"
}
