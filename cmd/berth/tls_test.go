package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/berth-cache/berth/upstream/upstreamtest"
)

// authority is a private certificate authority.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "berth test"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(t, err)
	cert, err := x509.ParseCertificate(der)
	must(t, err)
	return &authority{cert, key}
}

// issue returns a certificate for 127.0.0.1 and its key, as PEM.
func (a *authority) issue(t *testing.T, number int64) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(number), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Unix(2_000_000_000+number, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &private.PublicKey, a.key)
	must(t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	must(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
}

// trusting is a transport that trusts the authority and connects anew for each request.
func (a *authority) trusting() *http.Transport {
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	return &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true, DisableKeepAlives: true}
}

// shows is the number of the certificate that the program shows now.
func (p *process) shows(t *testing.T) int64 {
	t.Helper()
	response, err := p.client.Get(p.url + "/v2/")
	must(t, err)
	defer response.Body.Close()
	if response.Proto != "HTTP/2.0" {
		t.Errorf("answered by %s", response.Proto)
	}
	return response.TLS.PeerCertificates[0].SerialNumber.Int64()
}

func TestCertificateIsRotatedUnderLoad(t *testing.T) {
	hub := upstreamtest.New(t)
	image := hub.AddImage("app", "1", noise(1, 1<<20))
	ca, folder := newAuthority(t), t.TempDir()
	replace := func(name string, data []byte) {
		t.Helper()
		fresh := filepath.Join(folder, name+".new")
		must(t, os.WriteFile(fresh, data, 0o600))
		must(t, os.Rename(fresh, filepath.Join(folder, name)))
	}
	cert, key := ca.issue(t, 10)
	replace("tls.crt", cert)
	replace("tls.key", key)
	p := start(t, folder, "tls: {cert: tls.crt, key: tls.key}\n"+upstreamOf(hub.Start(t), ""))
	p.client.Transport = ca.trusting()
	if got := p.shows(t); got != 10 {
		t.Errorf("certificate %d, want 10", got)
	}
	l := p.load(t, blobURL(p, "app", image.Layers[0]), noise(1, 1<<20))
	for number := int64(11); number < 14; number++ {
		cert, key = ca.issue(t, number)
		replace("tls.crt", cert)
		p.reload(t, "refused") // the key is the old one still
		if got := p.shows(t); got != number-1 {
			t.Errorf("certificate %d while the new key is missing, want %d", got, number-1)
		}
		replace("tls.key", key)
		p.reload(t, "applied")
		if got := p.shows(t); got != number {
			t.Errorf("certificate %d, want %d", got, number)
		}
		expiry := strconv.FormatFloat(float64(2_000_000_000+number), 'e', -1, 64)
		p.wantMetric(t, "berth_tls_certificate_expiry_timestamp_seconds "+expiry)
	}
	l.stop(t)
}
