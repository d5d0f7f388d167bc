package upstream_test

import (
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/berth-cache/berth/upstream"
	"github.com/berth-cache/berth/upstream/upstreamtest"
)

// TestHiddenWithoutALogin: that a registry has nothing for who shows no login is not believed
// where there is one to show.
func TestHiddenWithoutALogin(t *testing.T) {
	const ping = "GET other /v2/"
	tokens := func(r *upstreamtest.Registry) { r.RequireToken(user, password) }
	basic := func(r *upstreamtest.Registry) { r.RequireBasic(user, password) }
	open := func(*upstreamtest.Registry) {}
	pinged := func(f upstreamtest.Fault) func(r *upstreamtest.Registry) {
		return func(r *upstreamtest.Registry) {
			tokens(r)
			r.Fail(upstreamtest.On(ping), f)
		}
	}
	for name, test := range map[string]struct {
		setup  func(*upstreamtest.Registry)
		status int // of what is hidden
		none   bool
		want   upstream.Class // 0 if it is found
		asked  []string
		warm   []string
	}{
		"404, token":               {tokens, 404, false, 0, []string{askA, ping, tokenA, askA}, []string{askA}},
		"404, basic":               {basic, 404, false, 0, []string{askA, ping, askA}, []string{askA}},
		"403, token":               {tokens, 403, false, 0, []string{askA, ping, tokenA, askA}, []string{askA}},
		"no login":                 {tokens, 404, true, upstream.NotHere, []string{askA}, []string{askA}},
		"404, no login is wanted":  {open, 404, false, upstream.NotHere, []string{askA, ping}, []string{askA, ping}},
		"404, the ping is limited": {pinged(upstreamtest.Fault{Status: 429}), 404, false, upstream.Unavailable, []string{askA, ping}, []string{askA, ping}},
		"404, the ping redirects":  {pinged(upstreamtest.Fault{Redirect: "https://other.example.com/v2/"}), 404, false, upstream.NotHere, []string{askA, ping}, []string{askA, ping}},
		"404, the ping fails":      {pinged(upstreamtest.Fault{CutAfter: -1}), 404, false, upstream.Unavailable, []string{askA, ping, ping, ping}, []string{askA, ping, ping, ping}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n, reg := upstreamtest.NewNetwork(t), upstreamtest.New(t)
				reg.AddImage("a", "1")
				test.setup(reg)
				reg.Fail(func(q *http.Request) bool {
					return q.Header.Get("Authorization") == "" && upstreamtest.On("GET manifest")(q)
				}, upstreamtest.Fault{Status: test.status, Header: jsonType, Body: upstreamtest.ErrorBody("NAME_UNKNOWN", "no")})
				stranger := upstreamtest.New(t)
				stranger.RequireBasic(user, password)
				n.Serve("https://other.example.com", stranger)
				c := newClient(t, n.Serve("https://r.example.com", reg), on(n), func(cfg *upstream.Config) {
					if !test.none {
						withLogin(cfg)
					}
				})
				for _, want := range [][]string{test.asked, test.warm} {
					if test.want == 0 {
						fetch(t, c, manifest("a", "1"))
					} else if e := refused(t, c, manifest("a", "1")); e.Class != test.want {
						t.Errorf("%v is %v, want %v", e, e.Class, test.want)
					}
					if diff := cmp.Diff(want, reg.Requests()); diff != "" {
						t.Error(diff)
					}
					reg.Reset()
				}
			})
		})
	}
}
