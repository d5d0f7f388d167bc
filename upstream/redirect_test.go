package upstream_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/berth-cache/berth/upstream"
	"github.com/berth-cache/berth/upstream/upstreamtest"
)

// hops is a host that writes down what it sees and redirects as told; elsewhere it says ok.
type hops struct {
	to   map[string]string // by "host/path"
	seen []string
}

func (h *hops) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	line := q.Method + " " + q.Host + q.URL.Path
	for _, key := range []string{"Authorization", "Range"} {
		if v := q.Header.Get(key); v != "" {
			line += " " + v
		}
	}
	h.seen = append(h.seen, line)
	if to := h.to[q.Host+q.URL.Path]; to != "" {
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusTemporaryRedirect)
		return
	}
	w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
	if q.Host == "r.example.com" && q.Header.Get("Authorization") == "" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	fmt.Fprint(w, "ok")
}

const basic = " Basic am86czNjcjN0LVBhNTU="

func TestRedirects(t *testing.T) {
	const path = "/v2/a/blobs/sha256:x"
	cases := []struct {
		name string
		to   map[string]string
		want []string // after the login was learned
	}{
		{
			"same host keeps the login",
			map[string]string{"r.example.com" + path: "/other"},
			[]string{"GET r.example.com" + path + basic + " bytes=1-", "GET r.example.com/other" + basic + " bytes=1-"},
		},
		{
			"another host loses it",
			map[string]string{"r.example.com" + path: "https://cdn.test/x?sig=1"},
			[]string{"GET r.example.com" + path + basic + " bytes=1-", "GET cdn.test/x bytes=1-"},
		},
		{
			"another port loses it",
			map[string]string{"r.example.com" + path: "https://r.example.com:8443/x"},
			[]string{"GET r.example.com" + path + basic + " bytes=1-", "GET r.example.com:8443/x bytes=1-"},
		},
		{
			"a subdomain loses it",
			map[string]string{"r.example.com" + path: "https://s.r.example.com/x"},
			[]string{"GET r.example.com" + path + basic + " bytes=1-", "GET s.r.example.com/x bytes=1-"},
		},
		{
			"user information is not sent",
			map[string]string{"r.example.com" + path: "https://u:p@cdn.test/x"},
			[]string{"GET r.example.com" + path + basic + " bytes=1-", "GET cdn.test/x bytes=1-"},
		},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			h := &hops{}
			n := upstreamtest.NewNetwork(t)
			for _, base := range []string{"https://cdn.test", "https://r.example.com:8443", "https://s.r.example.com"} {
				n.Serve(base, h)
			}
			c := newClient(t, n.Serve("https://r.example.com", h), on(n), withLogin)
			fetch(t, c, manifest("a", "1")) // learns the login
			h.to, h.seen = tc.to, nil
			if _, body := fetch(t, c, blob("a", "sha256:x", 1)); body != "ok" {
				t.Errorf("body %q", body)
			}
			if diff := cmp.Diff(tc.want, h.seen); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestRedirectBack: a login that was left behind does not come back with the host.
func TestRedirectBack(t *testing.T) {
	h := &hops{}
	n := upstreamtest.NewNetwork(t)
	n.Serve("https://cdn.test", h)
	c := newClient(t, n.Serve("https://r.example.com", h), on(n), withLogin)
	fetch(t, c, manifest("a", "1"))
	h.to = map[string]string{"r.example.com/v2/a/manifests/1": "https://cdn.test/x", "cdn.test/x": "https://r.example.com/back"}
	h.seen = nil
	refused(t, c, manifest("a", "1"))
	if !slices.Contains(h.seen, "GET r.example.com/back") {
		t.Errorf("saw %q", h.seen)
	}
}

func TestRedirectsRefused(t *testing.T) {
	chain := func(n int) map[string]string {
		to := map[string]string{"r.example.com/v2/a/manifests/1": "/0"}
		for i := range n - 1 {
			to[fmt.Sprintf("r.example.com/%d", i)] = fmt.Sprintf("/%d", i+1)
		}
		return to
	}
	first := func(to string) map[string]string {
		return map[string]string{"r.example.com/v2/a/manifests/1": to}
	}
	cases := []struct {
		name    string
		to      map[string]string
		message string // empty: it is followed
	}{
		{"five", chain(5), ""},
		{"six", chain(6), "r.example.com: redirect not followed: more than 5 of them"},
		{"to itself", first("/v2/a/manifests/1"), "r.example.com: redirect not followed: r.example.com leads in a circle"},
		{"to http", first("http://r.example.com/x"), "r.example.com: redirect not followed: r.example.com leads from https to http"},
		{"to a file", first("file:///etc/passwd"), "r.example.com: redirect not followed: r.example.com names no target"},
		{"to another scheme", first("gopher://x/y"), "r.example.com: redirect not followed: r.example.com leads to a scheme other than http"},
		{"nowhere", first("https://"), "r.example.com: redirect not followed: r.example.com names no target"},
		{"to nonsense", first("https://%zz?secret"), "r.example.com: redirect not followed: r.example.com names no target"},
		{
			"to metadata", first("https://169.254.169.254/latest?secret"),
			"r.example.com: host 169.254.169.254 is a link-local or metadata address",
		},
		{
			"to this machine", first("https://[::1]:6443/x?secret"),
			"r.example.com: host ::1 is a private address; set private for upstream hub if that is meant",
		},
		{
			"to this machine by name", first("https://sneaky.test/x?secret"),
			"r.example.com: host sneaky.test is at 127.0.0.1, a private address; set private for upstream hub if that is meant",
		},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			h := &hops{to: tc.to}
			n := upstreamtest.NewNetwork(t)
			n.Resolve("sneaky.test", "127.0.0.1")
			c := newClient(t, n.Serve("https://r.example.com", h), on(n), withLogin)
			if tc.message == "" {
				fetch(t, c, manifest("a", "1"))
				return
			}
			r := manifest("a", "1")
			r.Method = http.MethodHead
			e := refused(t, c, r)
			if diff := cmp.Diff(tc.message, e.Message); diff != "" || e.Class != upstream.Unavailable {
				t.Errorf("class %v: %s", e.Class, diff)
			}
			if strings.Contains(fmt.Sprintf("%+v %v", e, e.Err), "secret") {
				t.Errorf("secret in %+v: %v", e, e.Err)
			}
			for _, line := range h.seen {
				if !strings.HasPrefix(line, "HEAD ") {
					t.Errorf("saw %s", line)
				}
			}
		})
	}
}

// TestRedirectedAnswers says what the host at the end of a redirect may decide.
func TestRedirectedAnswers(t *testing.T) {
	cases := []struct {
		status int
		want   upstream.Class
	}{
		{404, upstream.NotHere},
		{410, upstream.NotHere},
		{401, upstream.Unavailable},
		{403, upstream.Unavailable},
		{400, upstream.Unavailable},
		{405, upstream.Unavailable},
		{429, upstream.Limited},
		{300, upstream.Unavailable},
	}
	for _, tc := range cases {
		t.Run(fmt.Sprint(tc.status), func(t *testing.T) {
			reg := upstreamtest.New(t)
			d := reg.AddBlob("a", []byte("layer"))
			reg.StartStorage(t)
			reg.Fail(upstreamtest.On("GET storage"), upstreamtest.Fault{
				Status: tc.status, Header: http.Header{"Www-Authenticate": {`Basic realm="x"`}},
			})
			e := refused(t, newClient(t, reg.Start(t), withLogin), blob("a", string(d), 0))
			if e.Class != tc.want || e.Repository {
				t.Errorf("class %v: %v", e.Class, e)
			}
			if strings.Contains(e.Error(), "secret") {
				t.Errorf("secret in %v", e)
			}
			want := []string{"GET blob a@" + upstreamtest.Short(d), "GET storage " + upstreamtest.Short(d)}
			if diff := cmp.Diff(want, reg.Requests()); diff != "" {
				t.Error(diff)
			}
		})
	}
}
