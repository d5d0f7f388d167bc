package upstream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"
)

const (
	// dialTimeout bounds the lookup and all addresses of a host together.
	dialTimeout = 10 * time.Second
	// fallbackDelay is the head start that an address has before the next is tried beside
	// it, so that a broken IPv6 costs 0.3 s and not a timeout (RFC 8305 section 5 has 0.25).
	fallbackDelay = 300 * time.Millisecond
)

// addressError is a refusal to dial.
type addressError struct {
	host   string
	detail string
	reach  reach
}

func (e *addressError) Error() string {
	return fmt.Sprintf("host %s %s", e.host, e.detail)
}

// dialer connects to addresses that may be reached, and to no other. It checks the very
// address that it dials, so what a name resolves to a moment later does not matter.
type dialer struct {
	resolver Resolver
	connect  func(ctx context.Context, network, addr string) (net.Conn, error)
	private  bool
}

// proxied marks the context of a request that goes through the egress proxy: what is
// dialled then is the proxy, which the operator chose.
type proxied struct{}

// dial is http.Transport's DialContext. The transport hands the values of the request's
// context on to it.
func (d *dialer) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if ctx.Value(proxied{}) != nil {
		return d.connect(ctx, network, addr)
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	addrs, err := d.lookup(ctx, host)
	if err != nil {
		return nil, err
	}
	targets := make([]string, len(addrs))
	for i, a := range addrs {
		targets[i] = net.JoinHostPort(a.String(), port)
	}
	return d.race(ctx, network, targets)
}

// lookup returns the addresses of host that may be dialled, at least one.
func (d *dialer) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	addrs := []netip.Addr{}
	if a, ok := literal(host); ok {
		addrs = append(addrs, a)
	} else {
		found, err := d.resolver.LookupNetIP(ctx, "ip", host)
		if err != nil {
			return nil, fmt.Errorf("look up %s: %w", host, err)
		}
		addrs = append(addrs, found...)
	}
	if len(addrs) == 0 {
		return nil, &addressError{host: host, detail: "has no address"}
	}
	allowed := addrs[:0:0]
	var refused error
	for _, a := range addrs {
		if err := d.check(host, a); err != nil {
			refused = err
			continue
		}
		allowed = append(allowed, a.Unmap())
	}
	if len(allowed) == 0 {
		return nil, refused
	}
	return allowed, nil
}

func (d *dialer) check(host string, a netip.Addr) error {
	where := "is at " + a.String() + ", "
	if _, ok := literal(host); ok {
		where = "is "
	}
	switch r := reachOf(a); {
	case r == never:
		return &addressError{host: host, detail: where + "a link-local or metadata address", reach: r}
	case r == private && !d.private:
		return &addressError{host: host, detail: where + "a private address", reach: r}
	default:
		return nil
	}
}

// checkProxied checks what can be checked of a target that the egress proxy resolves.
func (d *dialer) checkProxied(target *url.URL) error {
	host := target.Hostname()
	if a, ok := literal(host); ok {
		return d.check(host, a)
	}
	if !d.private && (isLocalName(host) || oddNumber(host)) {
		return &addressError{host: host, detail: "is a private address", reach: private}
	}
	return nil
}

// race connects to the first target that answers. Each has a head start over the next;
// one that fails passes it on at once. Losers are cut off and waited for.
func (d *dialer) race(ctx context.Context, network string, targets []string) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		conn net.Conn
		err  error
	}
	results := make(chan result)
	var winner net.Conn
	var errs []error
	left, running := targets, 0
	begin := func() {
		if winner != nil || len(left) == 0 || ctx.Err() != nil {
			return
		}
		target := left[0]
		left = left[1:]
		running++
		go func() {
			conn, err := d.connect(ctx, network, target)
			results <- result{conn, err}
		}()
	}
	begin()
	next := time.NewTimer(fallbackDelay)
	defer next.Stop()
	for running > 0 {
		select {
		case <-next.C:
			begin()
			next.Reset(fallbackDelay)
		case r := <-results:
			running--
			switch {
			case r.err != nil:
				errs = append(errs, r.err)
				begin()
				next.Reset(fallbackDelay)
			case winner != nil:
				r.conn.Close()
			default:
				winner = r.conn
				cancel()
			}
		}
	}
	if winner != nil {
		return winner, nil
	}
	return nil, errors.Join(append(errs, context.Cause(ctx))...)
}

// egress is http.Transport's Proxy: the choice is in the context; nil is none.
func egress(req *http.Request) (*url.URL, error) {
	if u, ok := req.Context().Value(proxied{}).(*url.URL); ok {
		return u, nil
	}
	return nil, nil
}
