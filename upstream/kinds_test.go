package upstream_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/berth-cache/berth/upstream"
	"github.com/berth-cache/berth/upstream/upstreamtest"
)

// TestProbeOfEveryKind: what is found out about each kind of registry, without a login, with
// a good one and with a wrong one. The pings of GHCR name a repository that does not exist,
// which is not asked for.
func TestProbeOfEveryKind(t *testing.T) {
	for _, kind := range upstreamtest.Kinds() {
		scheme := "GET token -"
		switch kind {
		case upstreamtest.MCR, upstreamtest.Kubernetes:
			scheme = "" // they want to see none
		case upstreamtest.ECR:
			scheme = "GET other /v2/"
		}
		for name, given := range map[string]string{"no login": "", "good login": password, "wrong login": "wrong"} {
			t.Run(string(kind)+" "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					n, reg := upstreamtest.NewNetwork(t), upstreamtest.New(t)
					base := n.ServeKind(kind, reg)
					change := []func(*upstream.Config){on(n)}
					want, state, refused := []string{"GET other /v2/"}, upstream.LoginUnasked, ""
					if given != "" {
						reg.Login(user, password)
						change = append(change, func(cfg *upstream.Config) {
							cfg.Credentials = []upstream.Credential{upstream.Password(user, given)}
						})
						if scheme != "" {
							want, state = append(want, scheme), upstream.LoginGood
						}
						if scheme != "" && given == "wrong" {
							state, refused = upstream.LoginRefused, strings.TrimPrefix(base, "https://")+": login refused; check username and password of upstream hub"
						}
					}
					r := newClient(t, base, change...).Probe(t.Context())
					if got := reg.Requests(); !slices.Equal(got, want) {
						t.Errorf("asked %q, want %q", got, want)
					}
					if given != "" && !slices.Equal(r.Logins, []upstream.LoginState{state}) || given == "" && r.Logins != nil {
						t.Errorf("logins %v, want %v", r.Logins, state)
					}
					if r.Err == nil && refused != "" || r.Err != nil && r.Err.Message != refused {
						t.Errorf("said %v, want %q", r.Err, refused)
					}
				})
			})
		}
	}
}
