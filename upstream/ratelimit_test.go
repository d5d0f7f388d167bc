package upstream_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/berth-cache/berth/upstream"
	"github.com/berth-cache/berth/upstream/upstreamtest"
)

// told is an answer's header about a limit.
func told(limit, remaining, source string) http.Header {
	return http.Header{"Ratelimit-Limit": {limit}, "Ratelimit-Remaining": {remaining}, "Docker-Ratelimit-Source": {source}}
}

func TestRateLimit(t *testing.T) {
	cases := []struct {
		name   string
		header http.Header
		want   upstream.RateLimit
		ok     bool
	}{
		{"Docker Hub's", told("100;w=21600", "76;w=21600", "192.0.2.7"), upstream.RateLimit{Limit: 100, Remaining: 76, Window: 6 * time.Hour, Source: "192.0.2.7"}, true},
		{"numbers alone", told("100", "0", ""), upstream.RateLimit{Limit: 100}, true},
		{"more parameters", told("100; comment=x; w=60", "7", ""), upstream.RateLimit{Limit: 100, Remaining: 7, Window: time.Minute}, true},
		{"half of it", http.Header{"Ratelimit-Limit": {"100;w=21600"}}, upstream.RateLimit{}, false},
		{"no numbers", told("many", "some", ""), upstream.RateLimit{}, false},
		{"negative", told("100", "-1", ""), upstream.RateLimit{}, false},
		{"a window of no sense", told("100;w=soon", "1;w=-5", ""), upstream.RateLimit{Limit: 100, Remaining: 1}, true},
		{"our password as the source", told("100", "1", password), upstream.RateLimit{Limit: 100, Remaining: 1, Source: "***"}, true},
		{"none", nil, upstream.RateLimit{}, false},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			reg := upstreamtest.New(t)
			reg.AddImage("a", "1")
			reg.RequireBasic(user, password)
			reg.Fail(upstreamtest.On("GET manifest"), upstreamtest.Fault{Header: tc.header})
			c := newClient(t, reg.Start(t), withLogin)
			fetch(t, c, manifest("a", "1"))
			got, ok := c.RateLimit()
			if diff := cmp.Diff(tc.want, got, cmpopts.IgnoreFields(upstream.RateLimit{}, "At")); diff != "" || ok != tc.ok || ok == got.At.IsZero() {
				t.Errorf("%v at %s (-want +got):\n%s", ok, got.At, diff)
			}
		})
	}
}

// What was told last holds, refusals included; where a manifest comes without, the limit
// is gone. What another host says is not about this upstream.
func TestRateLimitFollowsTheUpstream(t *testing.T) {
	n := upstreamtest.NewNetwork(t)
	reg := upstreamtest.New(t)
	reg.AddImage("a", "1")
	layer := string(reg.AddBlob("a", []byte("layer")))
	n.Serve("http://cdn.test", http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		w.Header().Set("Ratelimit-Limit", "1")
		w.Header().Set("Ratelimit-Remaining", "1")
		reg.Storage().ServeHTTP(w, q)
	}))
	reg.RedirectBlobs("http://cdn.test")
	registry := prometheus.NewPedanticRegistry()
	c := newClient(t, n.Serve("http://r.example.com", reg), on(n), func(cfg *upstream.Config) { cfg.Metrics = upstream.NewMetrics(registry) })
	want := func(lines ...string) {
		t.Helper()
		var text strings.Builder
		for _, l := range lines {
			name, _, _ := strings.Cut(l, "{")
			text.WriteString("# HELP " + name + " " + help[name] + "\n# TYPE " + name + " gauge\n" + l + "\n")
		}
		if err := testutil.GatherAndCompare(registry, strings.NewReader(text.String()), "berth_upstream_ratelimit_limit",
			"berth_upstream_ratelimit_remaining", "berth_upstream_ratelimit_window_seconds", "berth_upstream_ratelimit_source"); err != nil {
			t.Error(err)
		}
	}
	say := func(f upstreamtest.Fault) {
		reg.Mend()
		reg.Fail(upstreamtest.On("GET manifest"), f)
	}
	say(upstreamtest.Fault{Header: told("100;w=21600", "1;w=21600", "192.0.2.7")})
	fetch(t, c, manifest("a", "1"))
	fetch(t, c, blob("a", layer, 0))
	want(`berth_upstream_ratelimit_limit{upstream="hub"} 100`, `berth_upstream_ratelimit_remaining{upstream="hub"} 1`,
		`berth_upstream_ratelimit_source{source="192.0.2.7",upstream="hub"} 1`, `berth_upstream_ratelimit_window_seconds{upstream="hub"} 21600`)
	say(upstreamtest.Fault{Status: 429, Header: told("200", "0", "me")})
	refused(t, c, manifest("a", "1"))
	want(`berth_upstream_ratelimit_limit{upstream="hub"} 200`, `berth_upstream_ratelimit_remaining{upstream="hub"} 0`,
		`berth_upstream_ratelimit_source{source="me",upstream="hub"} 1`)
	say(upstreamtest.Fault{Status: 500})
	refused(t, c, manifest("a", "1"))
	if l, ok := c.RateLimit(); !ok || l.Limit != 200 {
		t.Errorf("after an answer that says nothing: %+v, %v", l, ok)
	}
	reg.Mend()
	fetch(t, c, manifest("a", "1"))
	want()
	if l, ok := c.RateLimit(); ok {
		t.Errorf("still %+v", l)
	}
}

var help = map[string]string{
	"berth_upstream_ratelimit_limit":          "How many pulls an upstream allows in a window, as it last told.",
	"berth_upstream_ratelimit_remaining":      "How many of them are left, as it last told.",
	"berth_upstream_ratelimit_window_seconds": "How long the window is.",
	"berth_upstream_ratelimit_source":         "Whom the upstream counts, an address or an account; always 1.",
}

// A 429 has one status for three reasons.
func TestWhatAnUpstreamHasHadEnoughOf(t *testing.T) {
	const pulls = "You have reached your pull rate limit. You may increase the limit by authenticating and upgrading: https://www.docker.com/increase-rate-limit"
	coded := `{"errors":[{"code":"TOOMANYREQUESTS","message":"` + pulls + `"}]}`
	cases := []struct {
		name, body string
		request    upstream.Request
		want       upstream.Limit
	}{
		{"pulls, plain", pulls, manifest("a", "1"), upstream.PullLimit},
		{"pulls, with a code", coded, manifest("a", "1"), upstream.PullLimit},
		{"pulls, said to a HEAD", "", upstream.Request{Method: "HEAD", Kind: upstream.KindManifest, Repository: "a", Reference: "1"}, upstream.RequestLimit},
		{"pulls, said of a blob", pulls, blob("a", "sha256:"+strings.Repeat("0", 64), 0), upstream.RequestLimit},
		{"abuse", "429 Too Many Requests\n", manifest("a", "1"), upstream.AbuseLimit},
		{"abuse, shorter", "Too Many Requests", manifest("a", "1"), upstream.AbuseLimit},
		{"some limit", `{"errors":[{"code":"TOOMANYREQUESTS","message":"too many requests"}]}`, manifest("a", "1"), upstream.RequestLimit},
		{"nothing said", "", manifest("a", "1"), upstream.RequestLimit},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			reg := upstreamtest.New(t)
			reg.Fail(nil, upstreamtest.Fault{Status: 429, Body: []byte(tc.body)})
			registry := prometheus.NewPedanticRegistry()
			c := newClient(t, reg.Start(t), func(cfg *upstream.Config) { cfg.Metrics = upstream.NewMetrics(registry) })
			if e := refused(t, c, tc.request); e.Class != upstream.Limited || e.Limit != tc.want {
				t.Errorf("%v, %v", e.Class, e.Limit)
			}
			want := "# HELP berth_upstream_limited_total Answers 429 by upstream and limit: pulls (Docker Hub's), abuse (too many from one address) or requests.\n" +
				"# TYPE berth_upstream_limited_total counter\nberth_upstream_limited_total{limit=\"" + tc.want.String() + "\",upstream=\"hub\"} 1\n"
			if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "berth_upstream_limited_total"); err != nil {
				t.Error(err)
			}
		})
	}
}

// FuzzRateLimit: what is read has a sense, and reads the same when it is written again.
func FuzzRateLimit(f *testing.F) {
	for _, seed := range [][2]string{
		{"100;w=21600", "76;w=21600"},
		{"100", "0"},
		{" 1 ; w=2; w=3", "1;w=x"},
		{"-1", "1"},
		{"9223372036854775808", "1"},
		{"1;w=9223372036854775807", "1;;;"},
		{"1e3", "+1"},
		{"", ""},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, limit, remaining string) {
		got, ok := upstream.ReadRateLimit(told(limit, remaining, ""))
		if !ok {
			if got != (upstream.RateLimit{}) {
				t.Errorf("nothing was told, but %+v", got)
			}
			return
		}
		if got.Limit < 0 || got.Remaining < 0 || got.Window < 0 || got.Window > (1<<31)*time.Second || got.Window%time.Second != 0 {
			t.Errorf("%+v", got)
		}
		write := func(n int64) string { return fmt.Sprintf("%d;w=%d", n, int(got.Window.Seconds())) }
		if again, ok := upstream.ReadRateLimit(told(write(got.Limit), write(got.Remaining), "")); !ok || again != got {
			t.Errorf("%+v reads again as %+v", got, again)
		}
	})
}
