package server

import (
	"crypto/tls"
	"sync/atomic"
	"time"
)

// Certificate is what a TLS server shows to those who connect. It can be replaced at any
// time, and is used by handshakes from then on.
type Certificate struct {
	current atomic.Pointer[tls.Certificate]
}

// NewCertificate returns a Certificate that begins with c, which has its Leaf.
func NewCertificate(c *tls.Certificate) *Certificate {
	holder := new(Certificate)
	holder.Replace(c)
	return holder
}

// Replace makes c, which has its Leaf, the one to show.
func (c *Certificate) Replace(with *tls.Certificate) { c.current.Store(with) }

// Expires is when the certificate ceases to be valid.
func (c *Certificate) Expires() time.Time { return c.current.Load().Leaf.NotAfter }

func (c *Certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return c.current.Load(), nil
}
