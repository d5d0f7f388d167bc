package upstream_test

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/berth-cache/berth/upstream"
	"github.com/berth-cache/berth/upstream/upstreamtest"
)

// TestProbe: an upstream is asked as little as tells whether it can be used.
func TestProbe(t *testing.T) {
	wrong := func(cfg *upstream.Config) { cfg.Credentials = []upstream.Credential{upstream.Password(user, "wrong")} }
	for name, test := range map[string]struct {
		prepare func(r *upstreamtest.Registry)
		change  func(*upstream.Config)
		logins  []upstream.LoginState
		message string
		asked   []string
	}{
		"open":               {nil, nil, nil, "", []string{"GET other /v2/"}},
		"open, with a login": {nil, withLogin, []upstream.LoginState{upstream.LoginUnasked}, "", []string{"GET other /v2/"}},
		"token": {
			func(r *upstreamtest.Registry) { r.RequireToken(user, password) }, withLogin,
			[]upstream.LoginState{upstream.LoginGood},
			"",
			[]string{"GET other /v2/", "GET token -"},
		},
		"token, wrong password": {
			func(r *upstreamtest.Registry) { r.RequireToken(user, password) }, wrong,
			[]upstream.LoginState{upstream.LoginRefused},
			"r.example.com: login refused; check username and password of upstream hub",
			[]string{"GET other /v2/", "GET token -"},
		},
		"token, anonymous": {func(r *upstreamtest.Registry) { r.RequireToken(user, password) }, nil, nil, "", []string{"GET other /v2/"}},
		"basic": {
			func(r *upstreamtest.Registry) { r.RequireBasic(user, password) }, withLogin,
			[]upstream.LoginState{upstream.LoginGood},
			"",
			[]string{"GET other /v2/", "GET other /v2/"},
		},
		"basic, wrong password": {
			func(r *upstreamtest.Registry) { r.RequireBasic(user, password) }, wrong,
			[]upstream.LoginState{upstream.LoginRefused},
			"r.example.com: login refused; check username and password of upstream hub",
			[]string{"GET other /v2/", "GET other /v2/"},
		},
		"two logins": {
			func(r *upstreamtest.Registry) { r.RequireToken(user, password) }, func(cfg *upstream.Config) { wrong(cfg); withLogin(cfg) },
			[]upstream.LoginState{upstream.LoginRefused, upstream.LoginGood},
			"r.example.com: login refused; check username and password of credential 1 of upstream hub",
			[]string{"GET other /v2/", "GET token -", "GET token -"},
		},
		"token service down": {
			func(r *upstreamtest.Registry) { r.RequireToken(user, password); r.StopTokens() }, withLogin,
			[]upstream.LoginState{upstream.LoginUnasked},
			"token service r.example.com: connection failed",
			[]string{"GET other /v2/"},
		},
		"no ping": {func(r *upstreamtest.Registry) {
			r.Fail(upstreamtest.On("GET other /v2/"), upstreamtest.Fault{Status: 404})
		}, nil, nil, "", []string{"GET other /v2/"}},
		"limited": {func(r *upstreamtest.Registry) {
			r.Fail(nil, upstreamtest.Fault{Status: 429, Header: http.Header{"Retry-After": {"7"}}})
		}, nil, nil, "r.example.com: too many requests; wait 7s", []string{"GET other /v2/"}},
		"a portal that welcomes": {func(r *upstreamtest.Registry) {
			r.Fail(nil, upstreamtest.Fault{Status: 200, Body: []byte("<html>"), MediaType: "text/html"})
		}, nil, nil, "r.example.com: answered with a web page; it is no registry, or a portal is in the way", []string{"GET other /v2/"}},
		"a portal": {func(r *upstreamtest.Registry) {
			r.Fail(nil, upstreamtest.Fault{Status: 403, Body: []byte("<html>"), MediaType: "text/html"})
		}, nil, nil, "r.example.com: answered 403 with a web page; a firewall or portal may be in the way", []string{"GET other /v2/"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				reg := upstreamtest.New(t)
				n := upstreamtest.NewNetwork(t)
				if test.prepare != nil {
					test.prepare(reg)
				}
				change := []func(*upstream.Config){on(n)}
				if test.change != nil {
					change = append(change, test.change)
				}
				c := newClient(t, n.Serve("https://r.example.com", slowly{reg}), change...)
				r := c.Probe(t.Context())
				if !slices.Equal(r.Logins, test.logins) || r.Latency != 70*time.Millisecond || r.Certificate.Before(time.Now()) {
					t.Errorf("%+v", r)
				}
				message := ""
				if r.Err != nil {
					message = r.Err.Message
				}
				if message != test.message {
					t.Errorf("said %q, want %q", message, test.message)
				}
				if diff := cmp.Diff(test.asked, reg.Requests()); diff != "" {
					t.Errorf("asked (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// TestProbeOfAPortForTLS: asked without, servers answer 400.
func TestProbeOfAPortForTLS(t *testing.T) {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of what is to be told
	server.StartTLS()
	t.Cleanup(server.Close)
	r := newClient(t, "http://"+server.Listener.Addr().String()).Probe(t.Context())
	const want = ": answered 400 Bad Request to plain HTTP; if it speaks TLS, write https in its url"
	if r.Err == nil || !strings.HasSuffix(r.Err.Message, want) {
		t.Errorf("said %v, want …%q", r.Err, want)
	}
}

// slowly answers pings after 70 ms.
type slowly struct{ http.Handler }

func (s slowly) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	if q.URL.Path == "/v2/" {
		time.Sleep(70 * time.Millisecond)
	}
	s.Handler.ServeHTTP(w, q)
}

func TestProbeOfNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := upstreamtest.NewNetwork(t)
		c := newClient(t, "https://r.example.com", on(n))
		if r := c.Probe(t.Context()); r.Err == nil || r.Err.Message != "r.example.com: name r.example.com does not exist" || r.Latency != 0 || !r.Certificate.IsZero() {
			t.Errorf("%+v", r)
		}
	})
}
