package upstream

import (
	"context"
	"crypto/x509"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
)

// Config is what a Client has to know of its upstream. Name and URL are required.
type Config struct {
	// Name is the upstream's configured name, for errors and metrics.
	Name string
	// URL has a scheme, http or https, and a host, and no path.
	URL *url.URL
	// Hosts are the other names by which clients know the upstream, e.g. docker.io.
	Hosts []string
	// Credential is the login; Username and Password are used, both empty is anonymous.
	Credential authn.AuthConfig
	// Realms are hosts, with a port unless it is the scheme's own, where a token service
	// may be besides those that belong to the upstream's host.
	Realms []string
	// Private allows private and loopback addresses for the upstream itself, for its
	// redirects and its token service.
	Private bool
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
