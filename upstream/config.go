package upstream

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// ErrConfig says that a Config cannot be used.
var ErrConfig = errors.New("bad upstream")

const (
	defaultUserAgent    = "berth"
	defaultStallTimeout = 30 * time.Second
	keepAlive           = 30 * time.Second
)

// Config is what a Client has to know of its upstream. Name and URL are required.
type Config struct {
	// Name is the upstream's configured name, for errors and metrics.
	Name string
	// URL has a scheme, http or https, and a host, and no path.
	URL *url.URL
	// Hosts are the other names by which clients know the upstream, e.g. docker.io. No
	// request goes there.
	Hosts []string
	// Credentials are logins with the same rights; none is anonymous. The first is used; while
	// it has no pulls left, or is refused, the next takes its place.
	Credentials []Credential
	// Realms are hosts, with a port unless it is the scheme's own, where a token service
	// may be besides those that belong to the upstream's host.
	Realms []string
	// Private allows private and loopback addresses for the upstream itself, for its
	// redirects and its token service.
	Private bool
	// Rate bounds how many requests the upstream's own host is sent, Concurrency how many
	// at once; 0 is any number. What is beyond waits for its turn.
	Rate        Rate
	Concurrency int
	// RootCAs are the authorities trusted for all of them; nil are the system's.
	RootCAs *x509.CertPool
	// Resolver looks up names; nil is net.DefaultResolver.
	Resolver Resolver
	// DialContext connects to an address that has been checked, "ip:port", or to the
	// egress proxy. nil is a real dialer.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)
	// Proxy chooses the egress proxy; nil is http.ProxyFromEnvironment.
	Proxy func(*http.Request) (*url.URL, error)
	// UserAgent is sent with every request; empty is "berth".
	UserAgent string
	// Instance is what whoever asks is called in CDN-Loop, with every request to the
	// registry's API; empty sends none.
	Instance string
	// StallTimeout is how long a body may make no progress; 0 is 30 seconds.
	StallTimeout time.Duration
	// Logger and Metrics may be nil.
	Logger  *slog.Logger
	Metrics *Metrics
}

// Resolver looks up the addresses of a host; network is "ip". *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

var _ Resolver = (*net.Resolver)(nil)

func (cfg Config) withDefaults() Config {
	if cfg.Resolver == nil {
		cfg.Resolver = net.DefaultResolver
	}
	if cfg.DialContext == nil {
		cfg.DialContext = (&net.Dialer{KeepAlive: keepAlive}).DialContext
	}
	if cfg.Proxy == nil {
		cfg.Proxy = http.ProxyFromEnvironment
	}
	if cfg.UserAgent == "" {
		cfg.UserAgent = defaultUserAgent
	}
	if cfg.StallTimeout <= 0 {
		cfg.StallTimeout = defaultStallTimeout
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return cfg
}

// normalise returns the URL with scheme and host in lower case, without the scheme's
// default port and without a final slash.
func normalise(cfg Config) (*url.URL, error) {
	u := cfg.URL
	if u == nil || u.Hostname() == "" {
		return nil, fmt.Errorf("%w %s: url has no host", ErrConfig, cfg.Name)
	}
	if strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return nil, fmt.Errorf("%w %s: url has more than scheme and host", ErrConfig, cfg.Name)
	}
	out := &url.URL{Scheme: strings.ToLower(u.Scheme), Host: strings.ToLower(u.Host)}
	if out.Scheme != "http" && out.Scheme != "https" {
		return nil, fmt.Errorf("%w %s: url is neither http nor https", ErrConfig, cfg.Name)
	}
	out.Host = strings.TrimSuffix(out.Host, ":"+defaultPort(out.Scheme))
	return out, nil
}

func defaultPort(scheme string) string {
	if scheme == "https" {
		return "443"
	}
	return "80"
}

// Fingerprint is 16 hex digits that stay the same as long as the upstream's scheme, host
// and first user name do, whatever it is called in the configuration. The kind of a login
// that is looked up stands for a user name.
func (c *Client) Fingerprint() string {
	user := ""
	if first := c.accounts.all[0]; !first.anonymous() {
		user = first.source.user
	}
	sum := sha256.Sum256([]byte(c.base.String() + "\n" + user))
	return hex.EncodeToString(sum[:8])
}
