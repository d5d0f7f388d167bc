package upstreamtest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"sync"
	"testing"
)

// Network is a small internet in memory, with names, public addresses, TLS and a record
// of what was dialled. It reaches nothing outside, and works inside a synctest bubble. It
// is a Resolver and has a DialContext for whoever takes those.
type Network struct {
	tb        testing.TB
	authority *authority

	// mu guards everything below.
	mu        sync.Mutex
	names     map[string][][]netip.Addr // answers in turn; the last one stays
	listeners map[string]*listener      // by "ip:port"
	hosts     map[string]string         // by address
	troubles  map[string]Trouble        // by host
	dialled   []string
}

// NewNetwork returns a network without hosts; it ends with tb.
func NewNetwork(tb testing.TB) *Network {
	tb.Helper()
	return &Network{
		tb: tb, authority: newAuthority(tb),
		names: map[string][][]netip.Addr{}, listeners: map[string]*listener{},
		hosts: map[string]string{}, troubles: map[string]Trouble{},
	}
}

// Serve puts h at base, e.g. "https://registry.example.com" or "http://10.0.0.1:5000",
// and returns base. A name gets a public address of its own unless Resolve gave it one.
func (n *Network) Serve(base string, h http.Handler) string {
	n.tb.Helper()
	u, err := url.Parse(base)
	if err != nil {
		n.tb.Fatalf("serve %s: %v", base, err)
	}
	l := newListener()
	n.mu.Lock()
	addr, err := netip.ParseAddr(u.Hostname())
	if err != nil {
		if _, known := n.names[u.Hostname()]; !known {
			n.names[u.Hostname()] = [][]netip.Addr{{netip.AddrFrom4([4]byte{5, 5, 5, byte(len(n.names) + 1)})}}
		}
		addr = n.names[u.Hostname()][0][0]
	}
	n.listeners[net.JoinHostPort(addr.String(), portOf(u))] = l
	n.hosts[addr.String()] = u.Hostname()
	n.mu.Unlock()

	server := &http.Server{Handler: h, ErrorLog: quiet}
	serve := func() error { return server.Serve(l) }
	if u.Scheme == "https" {
		server.TLSConfig = &tls.Config{GetCertificate: n.certificates(u.Hostname())}
		serve = func() error { return server.ServeTLS(l, "", "") }
	}
	var running sync.WaitGroup
	running.Go(func() {
		if err := serve(); !errors.Is(err, http.ErrServerClosed) {
			n.tb.Errorf("serve %s: %v", base, err)
		}
	})
	n.tb.Cleanup(func() {
		if err := server.Close(); err != nil {
			n.tb.Errorf("close %s: %v", base, err)
		}
		running.Wait()
	})
	return base
}

// Resolve makes a name resolve to addrs. Called again, the next lookup after one of the
// earlier answer gets the later one: a name server that changes its mind.
func (n *Network) Resolve(name string, addrs ...string) {
	answer := []netip.Addr{}
	for _, a := range addrs {
		answer = append(answer, netip.MustParseAddr(a))
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.names[name] = append(n.names[name], answer)
}

// Dialled returns the addresses that were dialled, "ip:port", in order.
func (n *Network) Dialled() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.dialled)
}

// Roots trust the certificates of all hosts.
func (n *Network) Roots() *x509.CertPool { return n.authority.pool() }

// LookupNetIP resolves names that Serve or Resolve made known.
func (n *Network) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.troubles[host].lookup(host); err != nil {
		return nil, err
	}
	answers := n.names[host]
	if len(answers) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	if len(answers) > 1 {
		n.names[host] = answers[1:]
	}
	return slices.Clone(answers[0]), nil
}

// DialContext connects to an address where something is served; a name is looked up
// first. At other addresses nothing answers until ctx ends, as behind a firewall.
func (n *Network) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	if _, err := netip.ParseAddr(host); err != nil {
		addrs, err := n.LookupNetIP(ctx, network, host)
		if err != nil {
			return nil, err
		}
		if len(addrs) == 0 {
			return nil, fmt.Errorf("dial %s: no address", addr)
		}
		host = addrs[0].String()
		addr = net.JoinHostPort(host, port)
	}
	n.mu.Lock()
	n.dialled = append(n.dialled, addr)
	l, trouble := n.listeners[addr], n.troubles[n.hosts[host]]
	n.mu.Unlock()
	if err := trouble.connect(); err != nil {
		return nil, err
	}
	if l == nil || trouble == Silent {
		<-ctx.Done()
		return nil, fmt.Errorf("dial %s: %w", addr, context.Cause(ctx))
	}
	return l.connect(ctx)
}

func portOf(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "https":
		return "443"
	default:
		return "80"
	}
}

// listener hands one half of a pipe to the server for each connect.
type listener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newListener() *listener {
	return &listener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *listener) connect(ctx context.Context) (net.Conn, error) {
	ours, theirs := net.Pipe()
	var err error
	select {
	case l.conns <- theirs:
		return ours, nil
	case <-l.closed:
		err = net.ErrClosed
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	ours.Close()
	theirs.Close()
	return nil, err
}

// Accept is net.Listener's.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close is net.Listener's.
func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr is net.Listener's.
func (l *listener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }
