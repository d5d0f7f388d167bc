package server_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/berth-cache/berth/server"
)

// issued is a certificate for 127.0.0.1 that is its own authority, and expires at an hour of
// its own, told by its number.
func issued(t *testing.T, number int64) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(number), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Duration(number) * time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// connect makes a request over a new connection and returns the number of the certificate
// that was shown, and the protocol.
func connect(t *testing.T, url string, config *tls.Config) (number int64, proto string, err error) {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true, DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport}).Get(url)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	if body, err := io.ReadAll(response.Body); err != nil || string(body) != "fine" {
		t.Errorf("%q, %v", body, err)
	}
	return response.TLS.PeerCertificates[0].SerialNumber.Int64(), response.Proto, nil
}

func TestCertificateIsReplaced(t *testing.T) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	first, second := issued(t, 1), issued(t, 2)
	roots := x509.NewCertPool()
	roots.AddCert(first.Leaf)
	roots.AddCert(second.Leaf)
	shown := server.NewCertificate(first)
	s := server.New(server.Options{
		Certificate: shown,
		Handler:     http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "fine") }),
	})
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	url := "https://" + l.Addr().String()
	for number, config := range map[int64]*tls.Config{
		1: {RootCAs: roots},
		2: {RootCAs: roots, MaxVersion: tls.VersionTLS12},
	} {
		if number == 2 {
			shown.Replace(second)
		} else {
			shown.Replace(first)
		}
		got, proto, err := connect(t, url, config)
		if err != nil || got != number || proto != "HTTP/2.0" {
			t.Errorf("certificate %d over %s, %v; want %d over HTTP/2.0", got, proto, err, number)
		}
		if want := time.Now().Add(time.Duration(number) * time.Hour); shown.Expires().Sub(want).Abs() > time.Minute {
			t.Errorf("expires at %s, want about %s", shown.Expires(), want)
		}
	}
	if _, _, err := connect(t, url, &tls.Config{RootCAs: roots, MaxVersion: tls.VersionTLS11}); err == nil { //nolint:gosec // it is refused
		t.Error("TLS 1.1 was agreed on")
	}
	if _, _, err := connect(t, url, &tls.Config{}); err == nil {
		t.Error("a client that does not know the authority went on")
	}
}
