package upstream_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/berth-cache/berth/upstream"
	"github.com/berth-cache/berth/upstream/upstreamtest"
)

const us = "berth-0123456789abcdef"

func named(cfg *upstream.Config) { cfg.Instance = us }

// TestLoopHeader: every request to the registry's API tells whom it came through, and none to
// token services and storage does.
func TestLoopHeader(t *testing.T) {
	reg, n := upstreamtest.New(t), upstreamtest.NewNetwork(t)
	reg.RequireToken(user, password)
	reg.RedirectBlobs(n.Serve("https://storage.test", reg.Storage()))
	image := reg.AddImage("a", "1", []byte("layer"))
	base := n.Serve("https://r.example.com", reg)
	c := newClient(t, base, on(n), withLogin, named)
	d := image.Digest.String()
	for _, r := range []upstream.Request{
		head("a", "1"), manifest("a", "1"), manifest("a", d), blob("a", string(image.Layers[0]), 0),
		{Method: "GET", Kind: upstream.KindTags, Repository: "a"},
		{Method: "GET", Kind: upstream.KindReferrers, Repository: "a", Reference: d},
	} {
		for header, through := range map[string][]string{us: nil, "berth-one, berth-two, " + us: {"berth-one", "berth-two"}} {
			r.Through = through
			fetch(t, c, r)
			records := reg.Records()
			reg.Reset()
			for _, record := range records {
				want := []string{header}
				if strings.HasPrefix(record.Text, "GET token") || strings.HasPrefix(record.Text, "GET storage") {
					want = nil
				}
				if diff := cmp.Diff(want, record.Header["Cdn-Loop"]); diff != "" {
					t.Errorf("%s (-want +got):\n%s", record.Text, diff)
				}
			}
			if len(records) == 0 {
				t.Errorf("%v: nothing was asked", r)
			}
		}
	}
	if report := c.Probe(t.Context()); report.Err != nil {
		t.Error(report.Err)
	}
	if ping := reg.Records()[0]; ping.Text != "GET other /v2/" || ping.Header.Get("CDN-Loop") != us {
		t.Errorf("%s: %v", ping.Text, ping.Header)
	}
	reg.Reset()
	c = newClient(t, base, on(n), withLogin)
	fetch(t, c, manifest("a", "1"))
	for _, record := range reg.Records() {
		if record.Header["Cdn-Loop"] != nil {
			t.Errorf("without a name: %v", record.Header)
		}
	}
}

// TestLoopHeaderAcrossRedirects: it stays with the upstream's API, by whatever scheme and
// port, and is gone for good behind that.
func TestLoopHeaderAcrossRedirects(t *testing.T) {
	const path = "/v2/a/manifests/1"
	for name, row := range map[string]struct {
		to   []string
		want string // whether each hop has it
	}{
		"to https":                 {[]string{"https://r.example.com" + path}, "yes yes"},
		"to another port":          {[]string{"http://R.example.com:8080" + path}, "yes yes"},
		"to another host":          {[]string{"http://cdn.test" + path}, "yes no"},
		"to storage on its host":   {[]string{"http://r.example.com:8080/bucket/1"}, "yes no"},
		"to another host and back": {[]string{"http://cdn.test/1", "http://r.example.com/v2/b/manifests/1"}, "yes no no"},
	} {
		t.Run(name, func(t *testing.T) {
			n := upstreamtest.NewNetwork(t)
			var seen []string
			serve := http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
				hop := len(seen)
				seen = append(seen, map[bool]string{true: "yes", false: "no"}[q.Header.Get("CDN-Loop") == us])
				if hop < len(row.to) {
					w.Header().Set("Location", row.to[hop])
					w.WriteHeader(http.StatusTemporaryRedirect)
				}
			})
			for _, base := range []string{"http://r.example.com", "https://r.example.com", "http://r.example.com:8080", "http://cdn.test"} {
				n.Serve(base, serve)
			}
			n.Resolve("R.example.com", "5.5.5.1") // as the first that was served
			c := newClient(t, "http://r.example.com", on(n), named)
			fetch(t, c, manifest("a", "1"))
			if got := strings.Join(seen, " "); got != row.want {
				t.Errorf("%s, want %s", got, row.want)
			}
		})
	}
}

// TestLooped: a registry's 508 is about a loop, is not repeated, and no breaker opens for it.
func TestLooped(t *testing.T) {
	for name, row := range map[string]struct {
		fault upstreamtest.Fault
		class upstream.Class
	}{
		"in a registry's words": {upstreamtest.Fault{Status: 508, Body: upstreamtest.ErrorBody("UNSUPPORTED", "no")}, upstream.Looped},
		"without a word":        {upstreamtest.Fault{Status: 508}, upstream.Looped},
		"behind a redirect":     {upstreamtest.Fault{}, upstream.Looped},
		"a page":                {upstreamtest.Fault{Status: 508, Body: []byte("<html>resource limit is reached")}, upstream.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			reg := upstreamtest.New(t)
			n := upstreamtest.NewNetwork(t)
			c := newClient(t, n.Serve("http://r.example.com", reg), on(n), named)
			if row.fault.Status == 0 {
				row.fault.Redirect = "https://r.example.com/v2/a/manifests/1"
				n.Serve("https://r.example.com", http.HandlerFunc(loops))
			}
			reg.Fail(nil, row.fault)
			for range 12 {
				e := refused(t, c, manifest("a", "1"))
				if e.Class != row.class || e.Status != 508 {
					t.Errorf("%s, status %d: %s", e.Class, e.Status, e.Message)
				}
			}
			if n := len(reg.Requests()); n != 12 || c.Ailing() {
				t.Errorf("%d requests, ailing %v", n, c.Ailing())
			}
		})
	}
	reg, n := upstreamtest.New(t), upstreamtest.NewNetwork(t)
	layer := reg.AddBlob("a", []byte("layer"))
	reg.RedirectBlobs(n.Serve("http://storage.test", http.HandlerFunc(loops)))
	c := newClient(t, n.Serve("http://r.example.com", reg), on(n), named)
	if e := refused(t, c, blob("a", string(layer), 0)); e.Class != upstream.Unavailable {
		t.Errorf("storage's own: %s", e)
	}
}

func loops(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusLoopDetected) }
