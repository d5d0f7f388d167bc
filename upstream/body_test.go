package upstream_test

import (
	"bytes"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berth-cache/berth/upstream"
	"github.com/berth-cache/berth/upstream/upstreamtest"
)

// broken asks for the blob and returns what of it came and the error that ended it.
func broken(t *testing.T, c *upstream.Client, r upstream.Request) (string, error) {
	t.Helper()
	resp, err := c.Do(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

func TestStall(t *testing.T) {
	cases := []struct {
		name, base string
		release    time.Duration
		ok         bool
		took       time.Duration
	}{
		{"short", "http://r.example.com", 29 * time.Second, true, 29 * time.Second},
		{"long", "http://r.example.com", time.Hour, false, 30 * time.Second},
		{"short, HTTP/2", "https://r.example.com", 29 * time.Second, true, 29 * time.Second},
		{"long, HTTP/2", "https://r.example.com", time.Hour, false, 30 * time.Second},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				reg := upstreamtest.New(t)
				d := reg.AddBlob("a", []byte("0123456789"))
				release := make(chan struct{})
				timer := time.AfterFunc(tc.release, func() { close(release) })
				defer timer.Stop()
				reg.Fail(nil, upstreamtest.Fault{StallAfter: 4, Release: release})
				n := upstreamtest.NewNetwork(t)
				c := newClient(t, n.Serve(tc.base, reg), on(n))
				began := time.Now()
				got, err := broken(t, c, blob("a", string(d), 0))
				if tc.ok && (err != nil || got != "0123456789") || !tc.ok && (!errors.Is(err, upstream.ErrStalled) || got != "0123") {
					t.Errorf("read %q: %v", got, err)
				}
				if took := time.Since(began); took != tc.took {
					t.Errorf("took %v", took)
				}
			})
		})
	}
}

// TestSlowReader: only the upstream's slowness counts.
func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := upstreamtest.New(t)
		d := reg.AddBlob("a", make([]byte, 10<<20)) // more than any buffer takes
		n := upstreamtest.NewNetwork(t)
		c := newClient(t, n.Serve("http://r.example.com", reg), on(n))
		resp, err := c.Do(t.Context(), blob("a", string(d), 0))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		piece := make([]byte, 1<<20)
		for range 10 {
			time.Sleep(time.Hour)
			if _, err := io.ReadFull(resp.Body, piece); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestErrorBodyDoesNotHold: the body of an error may take 5 s, whatever it says.
func TestErrorBodyDoesNotHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := upstreamtest.New(t)
		reg.Fail(nil, upstreamtest.Fault{Status: 404, Body: []byte("xy"), StallAfter: 1, Release: make(chan struct{})})
		n := upstreamtest.NewNetwork(t)
		c := newClient(t, n.Serve("http://r.example.com", reg), on(n))
		began := time.Now()
		if e := refused(t, c, manifest("a", "1")); e.Class != upstream.NotHere || time.Since(began) != 5*time.Second {
			t.Errorf("after %v: %v", time.Since(began), e)
		}
	})
}

func TestBrokenBodies(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789"), 1000)
	cases := []struct {
		name  string
		fault upstreamtest.Fault
		most  int
	}{
		{"cut", upstreamtest.Fault{CutAfter: 4000}, 4000},
		{"shorter than said", upstreamtest.Fault{Length: 20000}, 10000},
	}
	for _, tc := range cases {
		for _, secure := range []bool{false, true} {
			t.Run(tc.name, func(t *testing.T) {
				reg := upstreamtest.New(t)
				d := reg.AddBlob("a", content)
				reg.Fail(nil, tc.fault)
				base, pool := "", (*x509.CertPool)(nil)
				if secure {
					base, pool = reg.StartTLS(t)
				} else {
					base = reg.Start(t)
				}
				c := newClient(t, base, func(cfg *upstream.Config) { cfg.RootCAs = pool })
				got, err := broken(t, c, blob("a", string(d), 0))
				if err == nil || errors.Is(err, io.EOF) || !strings.HasPrefix(err.Error(), "upstream hub: GET blob a@sha256:") {
					t.Errorf("error %v", err)
				}
				if len(got) > tc.most {
					t.Errorf("read %d bytes", len(got))
				}
			})
		}
	}
}

// TestLimits: each kind has its bound, whether the length is told beforehand or not.
func TestLimits(t *testing.T) {
	request := func(k upstream.Kind) upstream.Request {
		return upstream.Request{Method: http.MethodGet, Kind: k, Repository: "a", Reference: "sha256:" + strings.Repeat("a", 64)}
	}
	const over = 1
	cases := []struct {
		name    string
		kind    upstream.Kind
		size    int
		chunked bool
		doFails bool
		ok      bool
	}{
		{name: "manifest at containerd's limit", kind: upstream.KindManifest, size: 4*1048*1048 + 1, ok: true},
		{name: "manifest at the limit", kind: upstream.KindManifest, size: upstream.MaxManifestBytes, ok: true},
		{name: "manifest at the limit, chunked", kind: upstream.KindManifest, size: upstream.MaxManifestBytes, chunked: true, ok: true},
		{name: "manifest over", kind: upstream.KindManifest, size: upstream.MaxManifestBytes + over, doFails: true},
		{name: "manifest over, chunked", kind: upstream.KindManifest, size: upstream.MaxManifestBytes + over, chunked: true},
		{name: "tags over", kind: upstream.KindTags, size: upstream.MaxListBytes + over, doFails: true},
		{name: "tags over, chunked", kind: upstream.KindTags, size: upstream.MaxListBytes + over, chunked: true},
		{name: "referrers over, chunked", kind: upstream.KindReferrers, size: upstream.MaxListBytes + over, chunked: true},
		{name: "blob", kind: upstream.KindBlob, size: upstream.MaxManifestBytes + over, ok: true},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			reg := upstreamtest.New(t)
			f := upstreamtest.Fault{Status: 200, Body: make([]byte, tc.size), Length: int64(tc.size)}
			if tc.chunked {
				f.Length = 0
			}
			reg.Fail(nil, f)
			c := newClient(t, reg.Start(t))
			if tc.doFails {
				if e := refused(t, c, request(tc.kind)); e.Class != upstream.Unavailable || !errors.Is(e, upstream.ErrTooLarge) {
					t.Error(e)
				}
				return
			}
			got, err := broken(t, c, request(tc.kind))
			if tc.ok && (err != nil || len(got) != tc.size) || !tc.ok && (!errors.Is(err, upstream.ErrTooLarge) || len(got) >= tc.size) {
				t.Errorf("read %d bytes: %v", len(got), err)
			}
		})
	}
}
