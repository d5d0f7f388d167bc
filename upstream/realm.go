package upstream

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// errForeignRealm says that a token service is not bound to the upstream. The credential
// must not go there: a registry, or whoever sits before it, could otherwise name any host
// and be sent the password (CVE-2026-33540).
var errForeignRealm = errors.New("token service is not bound to the upstream")

// parseRealm turns a challenge's realm into a URL that this upstream's credential may be
// sent to, or says why not. It may be on
//   - the upstream's own host, whatever the port: GitLab's registry and its token service
//     differ in it;
//   - a host of the same registrable domain, e.g. auth.docker.io for registry-1.docker.io.
//     Only the ICANN section of the public suffix list counts: what is under github.io or
//     amazonaws.com belongs to many;
//   - a host in Config.Realms.
//
// An IP address or localhost has to be the upstream's own host and port, or in Realms. An
// https upstream's realm has to be https.
func (c *Client) parseRealm(realm string) (*url.URL, error) {
	u, err := url.Parse(realm)
	if err != nil || u.Hostname() == "" || u.User != nil {
		return nil, fmt.Errorf("%w: its realm is not a URL with a host", errForeignRealm)
	}
	u.Scheme, u.Host, u.Fragment = strings.ToLower(u.Scheme), strings.ToLower(u.Host), ""
	return u, c.checkRealm(u)
}

// checkRealm also decides about every redirect of a token request.
func (c *Client) checkRealm(u *url.URL) error {
	switch {
	case u.Scheme != "https" && u.Scheme != "http":
		return fmt.Errorf("%w: realm on %s is neither http nor https", errForeignRealm, u.Host)
	case u.Scheme == "http" && c.base.Scheme == "https":
		return fmt.Errorf("%w: realm on %s is not https", errForeignRealm, u.Host)
	case hostPort(u) == hostPort(c.base):
		return nil
	}
	for _, entry := range c.cfg.Realms {
		if hostPort(u) == hostPort(&url.URL{Scheme: u.Scheme, Host: strings.ToLower(entry)}) {
			return nil
		}
	}
	if related(u.Hostname(), c.base.Hostname()) {
		return nil
	}
	return fmt.Errorf("%w: realm is on %s; if that is right, add it to realms of upstream %s",
		errForeignRealm, u.Host, c.cfg.Name)
}

// related says that two host names have the same owner.
func related(a, b string) bool {
	a, b = strings.TrimSuffix(a, "."), strings.TrimSuffix(b, ".")
	for _, host := range []string{a, b} {
		if _, ok := literal(host); ok || isLocalName(host) || oddNumber(host) {
			return false
		}
	}
	if a == b {
		return true
	}
	domain := registrable(a)
	return domain != "" && domain == registrable(b)
}

// registrable is the part of host that somebody registered, e.g. example.co.uk; empty
// where the public suffix is unknown or somebody's own.
func registrable(host string) string {
	if _, icann := publicsuffix.PublicSuffix(host); !icann {
		return ""
	}
	domain, err := publicsuffix.EffectiveTLDPlusOne(host)
	if err != nil {
		return ""
	}
	return domain
}

// hostPort is u's host in lower case with its port, explicit or not.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = defaultPort(u.Scheme)
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

// sameOrigin says that a header for one URL may go to the other.
func sameOrigin(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && hostPort(a) == hostPort(b)
}
