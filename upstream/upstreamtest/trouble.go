package upstreamtest

import (
	"crypto/tls"
	"net"
	"syscall"
	"time"
)

// Trouble is what keeps clients from a host of a Network. Connections that are open stay so.
type Trouble int

const (
	// Well is none.
	Well Trouble = iota
	// Refusing refuses connections.
	Refusing
	// Silent answers no connection, as if behind a firewall.
	Silent
	// Nameless has no address: the name servers know no such name.
	Nameless
	// Unresolved has an address that the name servers cannot tell now.
	Unresolved
	// Expired shows a certificate that was good until an hour ago.
	Expired
	// Untrusted shows a certificate that nobody knows the authority of.
	Untrusted
	// Misnamed shows another host's certificate.
	Misnamed
)

// Befall puts host into trouble, or makes it well.
func (n *Network) Befall(host string, t Trouble) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.troubles[host] = t
}

func (t Trouble) lookup(host string) error {
	switch t {
	case Nameless:
		return &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	case Unresolved:
		return &net.DNSError{Err: "server misbehaving", Name: host, IsTemporary: true}
	default:
		return nil
	}
}

func (t Trouble) connect() error {
	if t == Refusing {
		return &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	return nil
}

// certificates returns the function that chooses host's certificate for a connection.
func (n *Network) certificates(host string) func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	good := n.authority.leaf(host)
	stranger := newAuthority(n.tb)
	return func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		n.mu.Lock()
		t := n.troubles[host]
		n.mu.Unlock()
		shown := good
		switch t {
		case Expired:
			shown = n.authority.until(host, time.Now().Add(-time.Hour))
		case Untrusted:
			shown = stranger.leaf(host)
		case Misnamed:
			shown = n.authority.leaf("other.test")
		}
		return &shown, nil
	}
}
