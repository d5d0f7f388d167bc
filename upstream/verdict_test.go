package upstream_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/berth-cache/berth/upstream"
	"github.com/berth-cache/berth/upstream/upstreamtest"
)

var (
	jsonType = http.Header{"Content-Type": {"application/json"}}
	htmlType = http.Header{"Content-Type": {"text/html; charset=utf-8"}}
)

// TestStatuses is the table of what an answer of the resource means, without a login.
func TestStatuses(t *testing.T) {
	answer := func(status int, code string) upstreamtest.Fault {
		return upstreamtest.Fault{Status: status, Header: jsonType, Body: upstreamtest.ErrorBody(code, "said")}
	}
	cases := []struct {
		name  string
		fault upstreamtest.Fault
		want  upstream.Error // Class, Status, Code, RetryAfter, HTML, Repository
	}{
		{"404 tag", answer(404, "MANIFEST_UNKNOWN"), upstream.Error{Class: upstream.NotHere, Code: "MANIFEST_UNKNOWN"}},
		{"404 repository", answer(404, "NAME_UNKNOWN"), upstream.Error{Class: upstream.NotHere, Code: "NAME_UNKNOWN", Repository: true}},
		{"404 page", upstreamtest.Fault{Status: 404, Header: htmlType}, upstream.Error{Class: upstream.NotHere, HTML: true}},
		{"410", answer(410, "x y"), upstream.Error{Class: upstream.NotHere}},
		{"400", answer(400, "TAG_INVALID"), upstream.Error{Class: upstream.NotHere, Code: "TAG_INVALID"}},
		{"405", answer(405, "UNSUPPORTED"), upstream.Error{Class: upstream.NotHere, Code: "UNSUPPORTED"}},
		{"406", answer(406, ""), upstream.Error{Class: upstream.NotHere}},
		{"401", answer(401, "UNAUTHORIZED"), upstream.Error{Class: upstream.Denied, Code: "UNAUTHORIZED", Repository: true}},
		{"403", answer(403, "DENIED"), upstream.Error{Class: upstream.Denied, Code: "DENIED", Repository: true}},
		{"401 page", upstreamtest.Fault{Status: 401, Header: htmlType}, upstream.Error{Class: upstream.Denied, HTML: true, Repository: true}},
		{"403 page", upstreamtest.Fault{Status: 403, Header: htmlType}, upstream.Error{Class: upstream.Unavailable, HTML: true}},
		{
			"403 page without type",
			upstreamtest.Fault{Status: 403, Header: http.Header{"Content-Type": {"x/y"}}, Body: []byte("\n<!DOCTYPE html><p>")},
			upstream.Error{Class: upstream.Unavailable, HTML: true},
		},
		{"429", answer(429, "TOOMANYREQUESTS"), upstream.Error{Class: upstream.Limited, Code: "TOOMANYREQUESTS", RetryAfter: time.Minute}},
		{"204", upstreamtest.Fault{Status: 204}, upstream.Error{Class: upstream.Unavailable}},
		{"206 unasked", upstreamtest.Fault{Status: 206}, upstream.Error{Class: upstream.Unavailable}},
		{"416", answer(416, ""), upstream.Error{Class: upstream.Unavailable}},
		{"451", answer(451, "DENIED"), upstream.Error{Class: upstream.Unavailable, Code: "DENIED"}},
		{"501", answer(501, ""), upstream.Error{Class: upstream.Unavailable}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			reg := upstreamtest.New(t)
			reg.Fail(nil, tc.fault)
			e := refused(t, newClient(t, reg.Start(t)), manifest("a", "1"))
			tc.want.Status = tc.fault.Status
			got := upstream.Error{
				Class: e.Class, Status: e.Status, Code: e.Code,
				RetryAfter: e.RetryAfter, HTML: e.HTML, Repository: e.Repository,
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%v: %s", e, diff)
			}
			if e.Upstream != "hub" || e.Op != "GET manifest a:1" || e.Message == "" {
				t.Errorf("error says %+v", e)
			}
			if n := len(reg.Requests()); n != 1 {
				t.Errorf("%d requests: %q", n, reg.Requests())
			}
		})
	}
}

func TestRetryAfter(t *testing.T) {
	cases := []struct {
		name, header string
		want         time.Duration
	}{
		{"seconds", "17", 17 * time.Second},
		{"date", "Sat, 01 Jan 2000 00:02:00 GMT", 2 * time.Minute},
		{"past date", "Sat, 01 Jan 1999 00:02:00 GMT", time.Minute},
		{"zero", "0", time.Minute},
		{"negative", "-5", time.Minute},
		{"nonsense", "soon", time.Minute},
		{"for ever", "99999999999", 24 * time.Hour},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // it is 2000-01-01 00:00 here
				reg := upstreamtest.New(t)
				reg.Fail(nil, upstreamtest.Fault{
					Status: 429, Header: http.Header{"Retry-After": {tc.header}}, Body: []byte("slow down,\nplease"),
				})
				n := upstreamtest.NewNetwork(t)
				e := refused(t, newClient(t, n.Serve("http://r.example.com", reg), on(n)), manifest("a", "1"))
				if e.Class != upstream.Limited || e.RetryAfter != tc.want || !strings.HasSuffix(e.Message, ": slow down, please") {
					t.Errorf("%v with %v: %s", e.Class, e.RetryAfter, e.Message)
				}
			})
		})
	}
}

// TestLoginVerdicts tells a repository that is not ours from a credential that broke.
func TestLoginVerdicts(t *testing.T) {
	const (
		ask   = "GET manifest gone:1"
		token = "GET token repository:gone:pull"
		probe = "GET token -" // what docker login asks
		last  = "GET token repository:here:pull"
	)
	later := func() { time.Sleep(6 * time.Minute) } // past the time that a login counts as good
	cases := []struct {
		name   string
		login  bool
		worked bool // a pull of here:1 came before
		setup  func(*upstreamtest.Registry)
		want   upstream.Class
		asked  []string
	}{
		{
			name:  "no login, token service wants one",
			setup: func(r *upstreamtest.Registry) { r.RequireToken(user, password) },
			want:  upstream.Denied, asked: []string{ask, token},
		},
		{
			name:  "no login, missing repository looks private",
			setup: func(r *upstreamtest.Registry) { r.RequireToken("", ""); r.MissingAs401(true) },
			want:  upstream.Denied, asked: []string{ask, token, ask},
		},
		{
			name:  "no login, token service refuses the repository",
			setup: func(r *upstreamtest.Registry) { r.RequireToken("", ""); r.RefuseMissing(403) },
			want:  upstream.Denied, asked: []string{ask, token},
		},
		{
			name:  "no login, basic wanted",
			setup: func(r *upstreamtest.Registry) { r.RequireBasic(user, password) },
			want:  upstream.Denied, asked: []string{ask},
		},
		{
			name: "good login, missing repository, cold", login: true,
			setup: func(r *upstreamtest.Registry) { r.RequireToken(user, password); r.MissingAs401(true) },
			want:  upstream.Denied, asked: []string{ask, token, ask},
		},
		{
			name: "good login, missing repository, warm", login: true, worked: true,
			setup: func(r *upstreamtest.Registry) { r.RequireToken(user, password); r.MissingAs401(true) },
			want:  upstream.Denied, asked: []string{token, ask},
		},
		{
			name: "good login, token service refuses the repository, cold", login: true,
			setup: func(r *upstreamtest.Registry) { r.RequireToken(user, password); r.RefuseMissing(403) },
			want:  upstream.Denied, asked: []string{ask, token, probe},
		},
		{
			name: "good login, token service refuses the repository, just worked", login: true, worked: true,
			setup: func(r *upstreamtest.Registry) { r.RequireToken(user, password); r.RefuseMissing(403) },
			want:  upstream.Denied, asked: []string{token, last},
		},
		{
			name: "good login, token service refuses the repository, worked long ago", login: true, worked: true,
			setup: func(r *upstreamtest.Registry) {
				r.RequireToken(user, password)
				r.RefuseMissing(403)
				later()
			},
			want: upstream.Denied, asked: []string{token, last},
		},
		{
			name: "bad login, cold", login: true,
			setup: func(r *upstreamtest.Registry) { r.RequireToken(user, "other") },
			want:  upstream.Refused, asked: []string{ask, token, probe},
		},
		{
			name: "login broke, worked long ago", login: true, worked: true,
			setup: func(r *upstreamtest.Registry) { r.RequireToken(user, "other"); later() },
			want:  upstream.Refused, asked: []string{token, last},
		},
		{
			name: "bad basic login", login: true,
			setup: func(r *upstreamtest.Registry) { r.RequireBasic(user, "other") },
			want:  upstream.Refused, asked: []string{ask, ask},
		},
		{
			name: "probe finds token service down", login: true, worked: true,
			setup: func(r *upstreamtest.Registry) {
				r.RequireToken(user, password)
				r.RefuseMissing(403)
				r.Fail(upstreamtest.On(last), upstreamtest.Fault{Status: 501})
				later()
			},
			want: upstream.Unavailable, asked: []string{token, last},
		},
		{
			name: "probe finds token service limiting", login: true, worked: true,
			setup: func(r *upstreamtest.Registry) {
				r.RequireToken(user, password)
				r.RefuseMissing(403)
				r.Fail(upstreamtest.On(last), upstreamtest.Fault{Status: 429})
				later()
			},
			want: upstream.Limited, asked: []string{token, last},
		},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				reg := upstreamtest.New(t)
				reg.AddImage("here", "1")
				n := upstreamtest.NewNetwork(t)
				change := []func(*upstream.Config){on(n)}
				if tc.login {
					change = append(change, withLogin)
				}
				c := newClient(t, n.Serve("https://r.example.com", reg), change...)
				if tc.worked {
					reg.RequireToken(user, password)
					fetch(t, c, manifest("here", "1"))
				}
				tc.setup(reg)
				reg.Reset()
				e := refused(t, c, manifest("gone", "1"))
				if e.Class != tc.want || e.Repository != (tc.want == upstream.Denied || tc.want == upstream.Refused) {
					t.Errorf("class %v, repository %v: %v", e.Class, e.Repository, e)
				}
				if diff := cmp.Diff(tc.asked, reg.Requests()); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

// TestMessages holds the words for what an operator can mend.
func TestMessages(t *testing.T) {
	cases := []struct {
		name  string
		setup func(*upstreamtest.Registry)
		login bool
		want  string
	}{
		{
			"login required", func(r *upstreamtest.Registry) { r.RequireToken("x", "y") }, false,
			"r.example.com: login required; set username and password of upstream hub",
		},
		{
			"login refused", func(r *upstreamtest.Registry) { r.RequireToken("x", "y") }, true,
			"r.example.com: login refused; check username and password of upstream hub",
		},
		{
			"foreign realm", func(r *upstreamtest.Registry) { r.RequireToken("", ""); r.Realm("https://evil.test/token") }, true,
			"r.example.com: token service is not bound to the upstream: realm is on evil.test; " +
				"if that is right, add it to realms of upstream hub",
		},
		{
			"token service ill",
			func(r *upstreamtest.Registry) {
				r.RequireToken("", "")
				r.Fail(upstreamtest.On("GET token"), upstreamtest.Fault{Status: 501})
			},
			false, "token service r.example.com: answered 501 Not Implemented",
		},
		{
			"ill", func(r *upstreamtest.Registry) { r.Fail(nil, upstreamtest.Fault{Status: 501}) }, false,
			"r.example.com: answered 501 Not Implemented",
		},
		{"missing", func(*upstreamtest.Registry) {}, false, "r.example.com: not found"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			reg := upstreamtest.New(t)
			tc.setup(reg)
			n := upstreamtest.NewNetwork(t)
			change := []func(*upstream.Config){on(n)}
			if tc.login {
				change = append(change, withLogin)
			}
			e := refused(t, newClient(t, n.Serve("https://r.example.com", reg), change...), manifest("a", "1"))
			if diff := cmp.Diff(tc.want, e.Message); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestNoSecretInErrors makes an upstream repeat what it must not.
func TestNoSecretInErrors(t *testing.T) {
	reg := upstreamtest.New(t)
	reg.RequireBasic(user, password)
	echo := "bad\x1b login\u202e jo:" + password + " (am86czNjcjN0LVBhNTU=) at https://jo:x@h/p and https://s3.test/o?X-Sig=abc\r\nnext"
	reg.Fail(nil, upstreamtest.Fault{Status: 429, Body: []byte(echo)})
	e := refused(t, newClient(t, reg.Start(t), withLogin), manifest("a", "1"))
	for _, secret := range []string{password, "am86czNjcjN0LVBhNTU=", "X-Sig", "jo:x@", "\x1b", "\n"} {
		if strings.Contains(e.Error(), secret) {
			t.Errorf("%q holds %q", e.Error(), secret)
		}
	}
	want := ": bad login jo:*** (***) at *** and https://s3.test/o next"
	if !strings.HasSuffix(e.Message, want) {
		t.Errorf("message %q, want …%q", e.Message, want)
	}
}

// TestSecretInASecret hides the whole of the longer one.
func TestSecretInASecret(t *testing.T) {
	for _, passwords := range [][]string{{"harbour", "harbour-2026"}, {"harbour-2026", "harbour"}} {
		if got, want := upstream.Hide("of harbour-2026, harbour", passwords...), "of ***, ***"; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestNames(t *testing.T) {
	got := []string{}
	for k := upstream.KindManifest; k <= upstream.KindReferrers+1; k++ {
		got = append(got, k.String())
	}
	for c := upstream.NotHere; c <= upstream.Unavailable+1; c++ {
		got = append(got, c.String())
	}
	want := []string{
		"manifest", "blob", "tags", "referrers", "kind(4)",
		"not_here", "denied", "refused", "limited", "looped", "unavailable", "class(7)",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestBasicForbidden: to Basic, 403 is about the repository as long as the login opens the
// registry at all. Where that does not tell, a login that worked lately is good.
func TestBasicForbidden(t *testing.T) {
	const here, lost = upstream.Denied, upstream.Refused
	forbidden := upstreamtest.Fault{Status: http.StatusForbidden}
	for _, tc := range []struct {
		name string
		ping upstreamtest.Fault
		want []upstream.Class // at once, after nearly five minutes, after five
	}{
		{"lets it in", upstreamtest.Fault{}, []upstream.Class{here, here, here}},
		{"refuses it", forbidden, []upstream.Class{lost, lost, lost}},
		{"wants another", upstreamtest.Fault{Status: http.StatusUnauthorized}, []upstream.Class{lost, lost, lost}},
		{"knows no ping", upstreamtest.Fault{Status: http.StatusNotFound}, []upstream.Class{here, here, lost}},
		{"has a portal in front", upstreamtest.Fault{Status: 200, MediaType: "text/html"}, []upstream.Class{here, here, lost}},
		{"answers elsewhere", upstreamtest.Fault{Redirect: "https://other.test/"}, []upstream.Class{here, here, lost}},
		{"breaks", upstreamtest.Fault{CutAfter: -1}, []upstream.Class{here, here, lost}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				reg := upstreamtest.New(t)
				reg.AddImage("here", "1")
				reg.RequireBasic(user, password)
				n := upstreamtest.NewNetwork(t)
				n.Serve("https://other.test", http.NotFoundHandler())
				c := newClient(t, n.Serve("https://r.example.com", reg), on(n), withLogin)
				fetch(t, c, manifest("here", "1"))
				reg.Fail(upstreamtest.On("GET manifest"), forbidden)
				reg.Fail(upstreamtest.On("GET other /v2/"), tc.ping)
				got := []upstream.Class{}
				began := time.Now()
				for _, at := range []time.Duration{0, 5*time.Minute - 10*time.Second, 5 * time.Minute} {
					time.Sleep(at - time.Since(began))
					got = append(got, refused(t, c, manifest("gone", "1")).Class)
				}
				if diff := cmp.Diff(tc.want, got); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

// A registry that repeats the token it was sent does not get it into a message.
func TestEchoedTokenIsMasked(t *testing.T) {
	const token = "planted-bearer-token"
	n := upstreamtest.NewNetwork(t)
	base := n.Serve("https://r.example.com", http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		switch {
		case q.URL.Path == "/token":
			fmt.Fprintf(w, `{"token":%q}`, token)
		case q.Header.Get("Authorization") == "":
			w.Header().Set("WWW-Authenticate", `Bearer realm="https://r.example.com/token",service="r"`)
			w.WriteHeader(http.StatusUnauthorized)
		default:
			w.WriteHeader(http.StatusTooManyRequests)
			fmt.Fprintf(w, "slow down, %s", q.Header.Get("Authorization"))
		}
	}))
	e := refused(t, newClient(t, base, on(n)), manifest("a", "1"))
	if e.Class != upstream.Limited || !strings.Contains(e.Message, "slow down, Bearer ***") || strings.Contains(e.Error(), token) {
		t.Errorf("%s: %q", e.Class, e.Error())
	}
}
