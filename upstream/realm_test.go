package upstream_test

import (
	"net/http"
	"slices"
	"testing"

	"github.com/berth-cache/berth/upstream"
	"github.com/berth-cache/berth/upstream/upstreamtest"
)

func TestRelated(t *testing.T) {
	cases := []struct {
		a, b string
		want bool
	}{
		{"registry-1.docker.io", "auth.docker.io", true},
		{"registry.gitlab.com", "gitlab.com", true},
		{"registry.corp", "registry.corp", true},
		{"r.example.co.uk", "auth.example.co.uk", true},
		{"r.example.com.", "auth.example.com", true},
		{"example.com", "example.org", false},
		{"a.co.uk", "b.co.uk", false},
		{"co.uk", "a.co.uk", false},
		{"jo.github.io", "eve.github.io", false},
		{"a.s3.amazonaws.com", "b.s3.amazonaws.com", false},
		{"auth.corp", "registry.corp", false}, // no public suffix: anybody may be there
		{"a.example.corp", "b.example.corp", false},
		{"a.jo.github.io", "b.jo.github.io", false}, // a private suffix: its owner made the rules
		{"docker.io.evil.test", "docker.io", false},
		{"10.0.0.1", "10.0.0.1", false}, // literals go by host and port
		{"localhost", "localhost", false},
		{"127.1", "127.1", false},
	}
	for _, tc := range cases {
		t.Run(tc.a+" "+tc.b, func(t *testing.T) {
			if upstream.Related(tc.a, tc.b) != tc.want || upstream.Related(tc.b, tc.a) != tc.want {
				t.Errorf("want %v", tc.want)
			}
		})
	}
}

// TestRealms says which token services are given the login. Where not, they see nothing.
func TestRealms(t *testing.T) {
	cases := []struct {
		name, base, realm string
		realms            []string
		given             bool
	}{
		{name: "same host", base: "https://r.example.com", realm: "https://r.example.com/token", given: true},
		{name: "same host, other port", base: "https://r.example.com:5050", realm: "https://r.example.com/token", given: true},
		{name: "same owner", base: "https://r.example.com", realm: "https://auth.example.com/token", given: true},
		{name: "same owner, upper case", base: "https://r.example.com", realm: "HTTPS://AUTH.EXAMPLE.COM/token", given: true},
		{name: "foreign", base: "https://r.example.com", realm: "https://auth.evil.test/token"},
		{name: "foreign, listed", base: "https://r.example.com", realm: "https://auth.other.test/token", realms: []string{"Auth.Other.test"}, given: true},
		{name: "foreign, other port than listed", base: "https://r.example.com", realm: "https://auth.other.test:8443/token", realms: []string{"auth.other.test"}},
		{name: "foreign, listed with port", base: "https://r.example.com", realm: "https://auth.other.test:8443/token", realms: []string{"auth.other.test:8443"}, given: true},
		{name: "neighbour under a shared suffix", base: "https://jo.github.io", realm: "https://eve.github.io/token"},
		{name: "no TLS", base: "https://r.example.com", realm: "http://r.example.com/token"},
		{name: "no TLS, listed", base: "https://r.example.com", realm: "http://auth.other.test/token", realms: []string{"auth.other.test"}},
		{name: "no TLS either", base: "http://r.example.com", realm: "http://auth.example.com/token", given: true},
		{name: "public address", base: "https://r.example.com", realm: "https://5.5.5.200/token"},
		{name: "own address, other port", base: "http://5.5.5.200:5000", realm: "http://5.5.5.200:5001/token"},
		{name: "own address and port", base: "http://5.5.5.200:5000", realm: "http://5.5.5.200:5000/token", given: true},
		{name: "localhost", base: "http://r.example.com", realm: "http://localhost/token"},
		{name: "user information", base: "https://r.example.com", realm: "https://x@r.example.com/token"},
		{name: "not a URL", base: "https://r.example.com", realm: "https://%zz/token"},
		{name: "relative", base: "https://r.example.com", realm: "/token"},
		{name: "another scheme", base: "https://r.example.com", realm: "ftp://r.example.com/token"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			reg := upstreamtest.New(t)
			reg.AddImage("a", "1")
			reg.RequireToken(user, password)
			reg.Realm(tc.realm)
			n := upstreamtest.NewNetwork(t)
			n.Serve(tc.base, reg)
			for _, other := range []string{
				"https://auth.example.com", "http://auth.example.com", "https://r.example.com", "http://r.example.com",
				"https://auth.evil.test", "https://auth.other.test", "https://auth.other.test:8443", "http://auth.other.test",
				"https://eve.github.io", "https://5.5.5.200", "http://5.5.5.200:5001", "http://localhost",
			} {
				if other != tc.base {
					n.Serve(other, reg)
				}
			}
			c := newClient(t, tc.base, on(n), withLogin, func(cfg *upstream.Config) { cfg.Realms = tc.realms })
			if tc.given {
				fetch(t, c, manifest("a", "1"))
				return
			}
			e := refused(t, c, manifest("a", "1"))
			if e.Class != upstream.Unavailable {
				t.Errorf("class %v: %v", e.Class, e)
			}
			for _, rec := range reg.Records() {
				if rec.Header.Get("Authorization") != "" {
					t.Errorf("%s was given the login", rec.Host)
				}
			}
			if n := reg.Count("GET token"); n != 0 {
				t.Errorf("%d token requests", n)
			}
		})
	}
}

// TestRealmAddress: a token service of the same owner on a private address is not dialled.
func TestRealmAddress(t *testing.T) {
	reg := upstreamtest.New(t)
	reg.RequireToken(user, password)
	reg.Realm("https://auth.example.com/token")
	n := upstreamtest.NewNetwork(t)
	n.Resolve("auth.example.com", "10.1.2.3")
	n.Serve("https://auth.example.com", reg)
	e := refused(t, newClient(t, n.Serve("https://r.example.com", reg), on(n), withLogin), manifest("a", "1"))
	want := "token service auth.example.com: host auth.example.com is at 10.1.2.3, a private address; " +
		"set private for upstream hub if that is meant"
	if e.Class != upstream.Unavailable || e.Message != want {
		t.Errorf("%v: %s", e.Class, e.Message)
	}
	if slices.Contains(n.Dialled(), "10.1.2.3:443") {
		t.Errorf("dialled %q", n.Dialled())
	}
}

// TestRealmRedirects says where a token request may be led.
func TestRealmRedirects(t *testing.T) {
	cases := []struct {
		name, target string
		login        bool
		want         upstream.Class // 0 is success
	}{
		{"same host", "https://r.example.com/token?scope=repository:a:pull", true, 0},
		{"same owner with login", "https://auth.example.com/token?scope=repository:a:pull", true, upstream.Unavailable},
		{"same owner without login", "https://auth.example.com/token?scope=repository:a:pull", false, 0},
		{"foreign with login", "https://auth.evil.test/token?scope=repository:a:pull", true, upstream.Unavailable},
		{"foreign without login", "https://auth.evil.test/token?scope=repository:a:pull", false, upstream.Unavailable},
		{"metadata", "https://169.254.169.254/token", false, upstream.Unavailable},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			reg := upstreamtest.New(t)
			reg.AddImage("a", "1")
			login := []string{"", ""}
			if tc.login {
				login = []string{user, password}
			}
			reg.RequireToken(login[0], login[1])
			reg.Realm("https://r.example.com/login")
			reg.Fail(func(q *http.Request) bool { return q.URL.Path == "/login" }, upstreamtest.Fault{Redirect: tc.target})
			n := upstreamtest.NewNetwork(t)
			n.Serve("https://auth.example.com", reg)
			n.Serve("https://auth.evil.test", reg)
			n.Serve("https://169.254.169.254", reg)
			change := []func(*upstream.Config){on(n)}
			if tc.login {
				change = append(change, withLogin)
			}
			c := newClient(t, n.Serve("https://r.example.com", reg), change...)
			if tc.want == 0 {
				fetch(t, c, manifest("a", "1"))
				return
			}
			if e := refused(t, c, manifest("a", "1")); e.Class != tc.want {
				t.Errorf("class %v: %v", e.Class, e)
			}
			for _, rec := range reg.Records() {
				if rec.Host != "r.example.com" {
					t.Errorf("%s was asked %s", rec.Host, rec.Text)
				}
			}
		})
	}
}
