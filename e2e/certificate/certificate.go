// Package certificate makes certificates for servers on loopback, of an authority that
// nobody knows.
package certificate

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"testing"
	"time"
)

// Certificate is one for 127.0.0.1 and localhost, with its key and the authority that signed
// it, each as PEM.
type Certificate struct{ Authority, Certificate, Key []byte }

// New makes a private authority, and has it sign a certificate that is good for a day.
func New(tb testing.TB) Certificate {
	tb.Helper()
	caKey, key := newKey(tb), newKey(tb)
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "private authority"},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
		NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
	}
	block := func(kind string, der []byte, err error) []byte {
		if err != nil {
			tb.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	}
	caDER, caErr := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	leafDER, leafErr := x509.CreateCertificate(rand.Reader, leaf, ca, &key.PublicKey, caKey)
	secret, secretErr := x509.MarshalPKCS8PrivateKey(key)
	return Certificate{
		Authority:   block("CERTIFICATE", caDER, caErr),
		Certificate: block("CERTIFICATE", leafDER, leafErr),
		Key:         block("PRIVATE KEY", secret, secretErr),
	}
}

func newKey(tb testing.TB) *ecdsa.PrivateKey {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}
