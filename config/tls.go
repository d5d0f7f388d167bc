package config

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"time"
)

var tlsKeys = []string{"cert", "key"}

// tls reads the tls block. Paths that expand to nothing count as absent, both together.
func (v value) tls(t *TLS) {
	f := v.fields(tlsKeys)
	cert, key := f.get("cert"), f.get("key")
	fine := cert.filePath(&t.Cert)
	fine = key.filePath(&t.Key) && fine
	switch {
	case f.of == nil || !fine:
	case v.node != nil && cert.node == nil && key.node == nil:
		v.faultf("is empty; write cert and key, or remove it to serve plain HTTP")
	case t.Cert != "" && t.Key == "":
		v.faultf("has a cert and no key; write key, the PEM file with the private key of that certificate")
	case t.Cert == "" && t.Key != "":
		v.faultf("has a key and no cert; write cert, the PEM file with the certificate for that key")
	case t.Cert != "" && v.open:
		t.Certificate = keyPair(cert, key, *t)
	}
}

// keyPair reads a certificate and its key, which must fit and be valid still.
func keyPair(cert, key value, t TLS) *tls.Certificate {
	certPEM, fine := cert.read(t.Cert, maxCABytes)
	keyPEM, readable := key.read(t.Key, maxCABytes)
	if !fine || !readable {
		return nil
	}
	leaf := cert.leaf(t.Cert, certPEM)
	fine = key.privateKey(t.Key, keyPEM)
	if leaf == nil || !fine {
		return nil
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	switch {
	case err != nil && strings.Contains(err.Error(), "does not match"):
		key.faultf("the file %q holds a key that is not that of the certificate in %q; name the two that belong together, the server's own certificate first in its file", t.Key, t.Cert)
		return nil
	case err != nil: // about the key: the certificate has been parsed
		key.faultf("the file %q holds a key that cannot be used (%v); name another", t.Key, err)
		return nil
	case time.Now().After(leaf.NotAfter):
		cert.faultf("the certificate in the file %q expired at %s; put a renewed one there", t.Cert, leaf.NotAfter.UTC().Format(time.RFC3339))
		return nil
	}
	pair.Leaf = leaf
	return &pair
}

// leaf returns the first certificate of a PEM file.
func (v value) leaf(path string, data []byte) *x509.Certificate {
	block := find(data, func(kind string) bool { return kind == "CERTIFICATE" })
	if block == nil {
		v.faultf("the file %q holds no PEM certificate; write at least one into it, as -----BEGIN CERTIFICATE-----", path)
		return nil
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		v.faultf("the file %q holds a broken certificate (%v); write whole PEM certificates into it", path, err)
	}
	return leaf
}

// privateKey tells whether a PEM file has a key that can be read without a passphrase.
func (v value) privateKey(path string, data []byte) bool {
	block := find(data, func(kind string) bool { return strings.HasSuffix(kind, "PRIVATE KEY") })
	switch {
	case block == nil:
		return v.faultf("the file %q holds no PEM private key; name the one of the certificate, which has -----BEGIN PRIVATE KEY-----", path)
	case strings.HasPrefix(block.Type, "ENCRYPTED") || block.Headers["DEK-Info"] != "":
		return v.faultf("the file %q holds a key with a passphrase, for which nobody can be asked; write it without one: openssl pkey -in KEY -out NEW", path)
	}
	return true
}

// find returns the first PEM block of a kind, or nil.
func find(data []byte, kind func(string) bool) *pem.Block {
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if kind(block.Type) {
			return block
		}
	}
	return nil
}
