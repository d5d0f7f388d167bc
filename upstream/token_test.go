package upstream_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/berth-cache/berth/upstream"
	"github.com/berth-cache/berth/upstream/upstreamtest"
)

const (
	askA   = "GET manifest a:1"
	tokenA = "GET token repository:a:pull"
)

// bubble runs f with a registry that needs a token, on https in memory and with fake time.
func bubble(t *testing.T, f func(t *testing.T, reg *upstreamtest.Registry, c *upstream.Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		reg := upstreamtest.New(t)
		reg.AddImage("a", "1")
		reg.RequireToken(user, password)
		n := upstreamtest.NewNetwork(t)
		f(t, reg, newClient(t, n.Serve("https://r.example.com", reg), on(n), withLogin))
	})
}

// together asks n times at once and returns the errors.
func together(t *testing.T, n int, c *upstream.Client) []error {
	t.Helper()
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			resp, err := c.Do(t.Context(), manifest("a", "1"))
			if errs[i] = err; err == nil {
				resp.Body.Close()
			}
		})
	}
	wg.Wait()
	return errs
}

func TestTokenCoalescing(t *testing.T) {
	const many = 100
	cases := []struct {
		name    string
		prepare func(*upstreamtest.Registry)
		most    int // requests for the manifest
	}{
		{"cold", func(*upstreamtest.Registry) {}, 2 * many},
		{"expired", func(*upstreamtest.Registry) { time.Sleep(time.Hour) }, many},
		{"revoked", func(r *upstreamtest.Registry) { r.ExpireTokens() }, 2 * many},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, reg *upstreamtest.Registry, c *upstream.Client) {
				if tc.name != "cold" {
					fetch(t, c, manifest("a", "1"))
				}
				tc.prepare(reg)
				reg.Reset()
				// All arrive while the token service takes its time.
				release := make(chan struct{})
				reg.Fail(upstreamtest.On(tokenA), upstreamtest.Fault{StallAfter: -1, Release: release})
				go func() {
					time.Sleep(time.Second)
					close(release)
				}()
				for _, err := range together(t, many, c) {
					if err != nil {
						t.Error(err)
					}
				}
				if got := reg.Count(tokenA); got != 1 {
					t.Errorf("%d token requests", got)
				}
				if got := reg.Count(askA); got < many || got > tc.most {
					t.Errorf("%d requests, want %d to %d", got, many, tc.most)
				}
			})
		})
	}
}

// TestTokenOutlivesCaller: who came first and leaves does not spoil it for the rest.
func TestTokenOutlivesCaller(t *testing.T) {
	bubble(t, func(t *testing.T, reg *upstreamtest.Registry, c *upstream.Client) {
		fetch(t, c, manifest("a", "1"))
		time.Sleep(time.Hour)
		reg.Reset()
		release := make(chan struct{})
		reg.Fail(upstreamtest.On(tokenA), upstreamtest.Fault{StallAfter: -1, Release: release})

		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := c.Do(ctx, manifest("a", "1"))
			if e, ok := errors.AsType[*upstream.Error](err); !ok || !errors.Is(err, context.Canceled) || e.Class != upstream.Unavailable {
				t.Errorf("first caller got %v", err)
			}
		})
		synctest.Wait()
		wg.Go(func() { fetch(t, c, manifest("a", "1")) })
		synctest.Wait()
		cancel()
		synctest.Wait()
		close(release)
		wg.Wait()
		if diff := cmp.Diff([]string{tokenA, askA}, reg.Requests()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestTokenServiceNeverAnswers(t *testing.T) {
	bubble(t, func(t *testing.T, reg *upstreamtest.Registry, c *upstream.Client) {
		reg.Fail(upstreamtest.On(tokenA), upstreamtest.Fault{StallAfter: -1, Release: make(chan struct{})})
		began := time.Now()
		e := refused(t, c, manifest("a", "1"))
		if e.Class != upstream.Unavailable || e.Message != "token service r.example.com: no answer in time" || time.Since(began) != 30*time.Second {
			t.Errorf("after %v: %v", time.Since(began), e)
		}
	})
}

func TestCloseEndsErrand(t *testing.T) {
	bubble(t, func(t *testing.T, reg *upstreamtest.Registry, c *upstream.Client) {
		reg.Fail(upstreamtest.On(tokenA), upstreamtest.Fault{StallAfter: -1, Release: make(chan struct{})})
		began := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() {
			if e := refused(t, c, manifest("a", "1")); e.Class != upstream.Unavailable {
				t.Error(e)
			}
		})
		synctest.Wait()
		c.Close()
		wg.Wait()
		if time.Since(began) != 0 {
			t.Errorf("close took %v", time.Since(began))
		}
	})
}

// tokens is a registry that believes any token, with a token service that always gives
// the same answer.
type tokens struct {
	status  int
	body    string
	service atomic.Int64 // requests to the token service
}

func (s *tokens) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	switch {
	case q.URL.Path == "/token":
		s.service.Add(1)
		w.WriteHeader(s.status)
		fmt.Fprint(w, s.body)
	case q.Header.Get("Authorization") == "":
		w.Header().Set("WWW-Authenticate", `Bearer realm="https://r.example.com/token"`)
		w.WriteHeader(http.StatusUnauthorized)
	default:
		fmt.Fprint(w, "manifest")
	}
}

// TestTokenExpiry says how long a token is used without asking for another.
func TestTokenExpiry(t *testing.T) {
	cases := []struct {
		name, body string
		want       time.Duration
	}{
		{"missing", `{"token":"x"}`, 54 * time.Second},
		{"zero", `{"token":"x","expires_in":0}`, 54 * time.Second},
		{"negative", `{"token":"x","expires_in":-3}`, 54 * time.Second},
		{"null", `{"token":"x","expires_in":null}`, 54 * time.Second},
		{"five minutes", `{"access_token":"x","expires_in":300}`, 270 * time.Second},
		{"an hour, quoted", `{"token":"x","expires_in":"3600"}`, 3570 * time.Second},
		{"fraction", `{"token":"x","expires_in":10.0}`, 9 * time.Second},
		{"for ever", `{"token":"x","expires_in":1e12}`, 24*time.Hour - 30*time.Second},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &tokens{status: http.StatusOK, body: tc.body}
				n := upstreamtest.NewNetwork(t)
				c := newClient(t, n.Serve("https://r.example.com", s), on(n))
				got := []int64{}
				for _, wait := range []time.Duration{0, tc.want - 1, 1} {
					time.Sleep(wait)
					fetch(t, c, manifest("a", "1"))
					got = append(got, s.service.Load())
				}
				if diff := cmp.Diff([]int64{1, 1, 2}, got); diff != "" {
					t.Errorf("token requests at first, just before and at the end: %s", diff)
				}
			})
		})
	}
}

func TestTokenAnswers(t *testing.T) {
	huge := `{"token":"x","more":"` + strings.Repeat("y", 64<<10) + `"}`
	cases := []struct {
		name   string
		status int
		body   string
		want   upstream.Class
		asked  int64
	}{
		{"no JSON", 200, "token=x", upstream.Unavailable, 1},
		{"no token", 200, "{}", upstream.Unavailable, 1},
		{"token of another type", 200, `{"token":1}`, upstream.Unavailable, 1},
		{"token that breaks the header", 200, `{"token":"a\r\nHost: b"}`, upstream.Unavailable, 1},
		{"too large", 200, huge, upstream.Unavailable, 1},
		{"limited", 429, "", upstream.Limited, 1},
		{"ill", 503, "", upstream.Unavailable, 3},
		{"missing", 404, "", upstream.Unavailable, 1},
		{"bad request", 400, "", upstream.Unavailable, 1},
		{"page of a portal", 403, "<html>", upstream.Unavailable, 1},
		{"no login", 401, "", upstream.Denied, 1},
		{"not this repository", 403, "", upstream.Denied, 1},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &tokens{status: tc.status, body: tc.body}
				n := upstreamtest.NewNetwork(t)
				c := newClient(t, n.Serve("https://r.example.com", s), on(n))
				e := refused(t, c, manifest("a", "1"))
				if e.Class != tc.want || s.service.Load() != tc.asked {
					t.Errorf("%v after %d token requests: %v", e.Class, s.service.Load(), e)
				}
				if tc.body == huge && !errors.Is(e, upstream.ErrTooLarge) {
					t.Errorf("cause %v", e.Err)
				}
				if c.Grants() != 0 {
					t.Errorf("%d tokens kept", c.Grants())
				}
			})
		})
	}
}

func TestTokenQuery(t *testing.T) {
	reg := upstreamtest.New(t)
	reg.AddImage("a", "1")
	reg.RequireToken(user, password)
	var got string
	n := upstreamtest.NewNetwork(t)
	n.Serve("https://auth.example.com", http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		got = q.Method + " " + q.URL.RequestURI()
		q.URL.Path = "/token"
		reg.ServeHTTP(w, q)
	}))
	reg.Realm("https://auth.example.com/jwt?x=1#f")
	fetch(t, newClient(t, n.Serve("https://r.example.com", reg), on(n), withLogin), manifest("a", "1"))
	want := "GET /jwt?account=jo&scope=repository%3Aa%3Apull&service=registry.test&x=1"
	if got != want {
		t.Errorf("asked %s, want %s", got, want)
	}
}

// TestTokenOfVerdictIsDropped: a token that was refused is asked for anew next time.
func TestTokenOfVerdictIsDropped(t *testing.T) {
	bubble(t, func(t *testing.T, reg *upstreamtest.Registry, c *upstream.Client) {
		fetch(t, c, manifest("a", "1"))
		reg.MissingAs401(true)
		refused(t, c, manifest("gone", "1"))
		if c.Grants() != 1 {
			t.Errorf("%d tokens held", c.Grants())
		}
	})
}

func TestTokensAreBounded(t *testing.T) {
	bubble(t, func(t *testing.T, _ *upstreamtest.Registry, c *upstream.Client) {
		c.FillGrants()
		fetch(t, c, manifest("a", "1"))
		if got := c.Grants(); got != upstream.MaxGrants {
			t.Errorf("%d tokens held, want %d", got, upstream.MaxGrants)
		}
		time.Sleep(2 * time.Hour)
		fetch(t, c, manifest("a", "1"))
		if got := c.Grants(); got != 1 {
			t.Errorf("%d tokens held after the others expired", got)
		}
	})
}

// TestStaleToken: a refusal is believed after a fresh token, and not before.
func TestStaleToken(t *testing.T) {
	cases := []struct {
		name   string
		status int
		header http.Header
	}{
		{"401 with a challenge", 0, nil},
		{"403 without one", 403, http.Header{"Www-Authenticate": nil}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, reg *upstreamtest.Registry, c *upstream.Client) {
				fetch(t, c, manifest("a", "1"))
				reg.ExpireTokens()
				reg.Reset()
				if tc.status != 0 {
					reg.Fail(upstreamtest.On(askA), upstreamtest.Fault{Times: 1, Status: tc.status, Header: tc.header})
				}
				fetch(t, c, manifest("a", "1"))
				if diff := cmp.Diff([]string{askA, tokenA, askA}, reg.Requests()); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

// TestTokenServiceMoves: after a failure the registry is asked anew where to log in.
func TestTokenServiceMoves(t *testing.T) {
	bubble(t, func(t *testing.T, reg *upstreamtest.Registry, c *upstream.Client) {
		fetch(t, c, manifest("a", "1"))
		time.Sleep(time.Hour)
		reg.StopTokens()
		if e := refused(t, c, manifest("a", "1")); e.Class != upstream.Unavailable {
			t.Error(e)
		}
		reg.ResumeTokens()
		reg.Reset()
		fetch(t, c, manifest("a", "1"))
		if diff := cmp.Diff([]string{askA, tokenA, askA}, reg.Requests()); diff != "" {
			t.Error(diff)
		}
	})
}

// TestLostTokenService: it is looked for anew after what is its own failure.
func TestLostTokenService(t *testing.T) {
	for _, test := range []struct {
		err  error
		want bool
	}{
		{errAny, true},
		{context.DeadlineExceeded, true},
		{fmt.Errorf("it: %w", context.Canceled), false},
		{fmt.Errorf("it: %w", upstream.ErrQueue), false},
		{fmt.Errorf("it: %w", upstream.ErrDown), false},
	} {
		if got := upstream.Lost(test.err); got != test.want {
			t.Errorf("%v: %t", test.err, got)
		}
	}
}
