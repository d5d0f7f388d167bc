package config_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/berth-cache/berth/config"
)

// pair is a certificate that is valid until then, and its key, both as PEM.
func pair(t *testing.T, until time.Time) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(7), NotBefore: until.Add(-time.Hour), NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}))
}

func TestTLSReadsThePair(t *testing.T) {
	cert, key := pair(t, time.Now().Add(time.Hour))
	dir := folder(t, map[string]string{
		"berth.yaml": "tls: {cert: tls.crt, key: tls.key}\n", "tls.crt": cert + certificate(t), "tls.key": "a comment\n" + key,
	})
	c, err := config.Load(filepath.Join(dir, "berth.yaml"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.TLS.Certificate.Leaf.SerialNumber.Int64(); got != 7 || len(c.TLS.Certificate.Certificate) != 2 {
		t.Errorf("leaf %d of %d certificates", got, len(c.TLS.Certificate.Certificate))
	}
	var read []string
	for _, f := range c.Files {
		read = append(read, filepath.Base(f.Path))
	}
	if diff := cmp.Diff([]string{"berth.yaml", "tls.crt", "tls.key"}, read); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestFaultsOfTLS(t *testing.T) {
	cert, key := pair(t, time.Now().Add(time.Hour))
	_, other := pair(t, time.Now().Add(time.Hour))
	yesterday := time.Now().Add(-24 * time.Hour).Truncate(time.Second).UTC()
	old, oldKey := pair(t, yesterday)
	dir := folder(t, map[string]string{
		"crt": cert, "key": key, "other": other, "old.crt": old, "old.key": oldKey, "text": "hello\n",
		"sealed":     string(pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")})),
		"broken.crt": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")})),
		"broken.key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")})),
	})
	in := func(name string) string { return fmt.Sprintf("%q", filepath.Join(dir, name)) }
	for _, test := range []struct{ tls, key, want string }{
		{"{}", "tls", "is empty; write cert and key, or remove it to serve plain HTTP"},
		{"{cert: crt}", "tls", "has a cert and no key; write key, the PEM file with the private key of that certificate"},
		{"{key: key}", "tls", "has a key and no cert; write cert, the PEM file with the certificate for that key"},
		{"{cert: crt, key: other}", "tls.key", "the file " + in("other") + " holds a key that is not that of the certificate in " + in("crt") + "; name the two that belong together, the server's own certificate first in its file"},
		{"{cert: old.crt, key: old.key}", "tls.cert", "the certificate in the file " + in("old.crt") + " expired at " + yesterday.Format(time.RFC3339) + "; put a renewed one there"},
		{"{cert: none, key: key}", "tls.cert", "the file " + in("none") + " does not exist; create it or mend the path, which starts at this file's folder unless it starts with /"},
		{"{cert: text, key: key}", "tls.cert", "the file " + in("text") + " holds no PEM certificate; write at least one into it, as -----BEGIN CERTIFICATE-----"},
		{"{cert: broken.crt, key: key}", "tls.cert", "the file " + in("broken.crt") + " holds a broken certificate (x509: malformed certificate); write whole PEM certificates into it"},
		{"{cert: crt, key: crt}", "tls.key", "the file " + in("crt") + " holds no PEM private key; name the one of the certificate, which has -----BEGIN PRIVATE KEY-----"},
		{"{cert: crt, key: sealed}", "tls.key", "the file " + in("sealed") + " holds a key with a passphrase, for which nobody can be asked; write it without one: openssl pkey -in KEY -out NEW"},
		{"{cert: crt, key: broken.key}", "tls.key", "the file " + in("broken.key") + " holds a key that cannot be used (tls: failed to parse private key); name another"},
	} {
		t.Run(test.tls, func(t *testing.T) {
			path := filepath.Join(dir, "berth.yaml")
			if err := os.WriteFile(path, []byte("data: data\ntls: "+test.tls+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := config.Load(path, nil)
			faults, _ := errors.AsType[config.Faults](err)
			want := config.Faults{{File: path, Line: 2, Key: test.key, Message: test.want}}
			if diff := cmp.Diff(want, faults); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if strings.Contains(fmt.Sprint(err), "PRIVATE KEY-----\n") {
				t.Error("the fault shows the key")
			}
		})
	}
}

func TestServing(t *testing.T) {
	for text, want := range map[string][]any{
		"":                                 {0, 30 * time.Second, true},
		"ops: \"\"\n":                      {0, 30 * time.Second, false},
		"ops: 0.0.0.0:9\n":                 {0, 30 * time.Second, false},
		"ops: localhost:9\n":               {0, 30 * time.Second, true},
		"ops: \"[::1]:9\"\npprof: false\n": {0, 30 * time.Second, false},
		"ops: 0.0.0.0:9\npprof: true\n":    {0, 30 * time.Second, true},
		"max_connections: 10\ndrain: 0s\n": {10, time.Duration(0), true},
		"tls: {cert: \"${EMPTY:-}\", key: \"\"}\n": {0, 30 * time.Second, true},
	} {
		c := parse(t, text)
		if diff := cmp.Diff(want, []any{c.MaxConnections, c.Drain, c.PProf}); diff != "" || c.TLS.Cert != "" {
			t.Errorf("%q: certificate %q, connections, drain and pprof (-want +got):\n%s", text, c.TLS.Cert, diff)
		}
	}
	testFaults(t, []faultTest{
		{"too few connections", "max_connections: 9\n", `berth.yaml:1: max_connections: "9" is no whole number of at least 10; write one`},
		{"connections in words", "max_connections: many\n", `berth.yaml:1: max_connections: "many" is no whole number of at least 10; write one`},
		{"half a connection", "max_connections: 10.5\n", `berth.yaml:1: max_connections: "10.5" is no whole number of at least 10; write one`},
		{"drain for ever", "drain: forever\n", "berth.yaml:1: drain: cannot be forever; write a duration, such as 60s or 24h"},
		{"pprof at an address", "pprof: localhost:6060\n", `berth.yaml:1: pprof: "localhost:6060" is neither true nor false; write one of them`},
	})
}
