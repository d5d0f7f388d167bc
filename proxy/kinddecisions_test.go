package proxy_test

import (
	"cmp"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/berth-cache/berth/upstream/upstreamtest"
)

// meaning is what comes of a registry's answer: for a client that asks for app:1 at that
// registry alone, without a copy held and with one, and whether the next is asked where it
// may be.
type meaning struct {
	cold, held         told // held without age and warning, which follow from the rest
	coldNext, heldNext bool
	// asks is what the registry sees: "?" is the question, "known" one for a token for the
	// repository that worked last. Where something is held heldAsks counts, if there is one.
	asks, heldAsks string
}

func heldBack(detail string) told {
	return told{Status: 200, CacheStatus: "berth; hit; fwd=stale; detail=" + detail}
}

func limitedFor(seconds string) meaning {
	return meaning{cold: failed(429, "TOOMANYREQUESTS", "limited", seconds), held: heldBack("upstream-limited"), asks: "token, ?"}
}

var (
	unknownTag = meaning{
		cold: failed(404, "MANIFEST_UNKNOWN", "not_found", ""), coldNext: true,
		held: failed(404, "MANIFEST_UNKNOWN", "not_found", ""), heldNext: true, asks: "token, ?",
	}
	unknownName = meaning{
		cold: failed(404, "NAME_UNKNOWN", "not_found", ""), coldNext: true,
		held: failed(404, "MANIFEST_UNKNOWN", "not_found", ""), heldNext: true, asks: "token, ?", // a HEAD tells no more
	}
	hiddenName  = meaning{cold: failed(403, "DENIED", "denied", ""), coldNext: true, held: heldBack("credential-refused"), asks: "token, ?"}
	brokenLogin = meaning{cold: failed(502, "UNAVAILABLE", "refused", ""), held: heldBack("credential-refused"), asks: "token, known"}
	isDown      = meaning{cold: failed(503, "UNAVAILABLE", "unavailable", "5"), held: heldBack("upstream-unavailable")}
	isThere     = meaning{cold: missed(), held: confirmed(), asks: "token, ?"}
)

// asking is m where another number of requests leads to it.
func (m meaning) asking(asks string) meaning {
	m.asks = asks
	return m
}

// decisionsOf is the decision table's part about a kind.
type decisionsOf struct {
	kind upstreamtest.Kind
	// gone and memberGone are of a repository that does not exist, for strangers and those
	// with a login; limited and broken of a 429 and of a login that is wrong. Those of zero
	// value do not come about.
	gone, memberGone, limited, broken meaning
	more                              map[string]trial
}

// trial is one condition of a registry and what comes of it.
type trial struct {
	login bool
	set   func(r *kindRig)
	want  meaning
}

func kindDecisions() []decisionsOf {
	minute := limitedFor("60")
	pulls := minute
	pulls.held = confirmed() // by a HEAD, which counts for nothing
	return []decisionsOf{
		{upstreamtest.DockerHub, hiddenName, hiddenName, pulls, brokenLogin, map[string]trial{
			"pulls used up": {set: usedUp, want: meaning{cold: minute.cold, held: confirmed(), heldAsks: "token, ?"}},
			"abuse limit":   {set: func(r *kindRig) { r.hub.Limit(upstreamtest.AbuseLimit, time.Hour) }, want: minute},
		}},
		{upstreamtest.DHI, meaning{}, unknownName, minute, brokenLogin, nil},
		{upstreamtest.MCR, unknownName, meaning{}, minute, meaning{}, nil},
		{upstreamtest.Quay, hiddenName, unknownName, minute, brokenLogin, quayForms()},
		{upstreamtest.GHCR, hiddenName.asking("token"), hiddenName.asking("token, known"), minute, brokenLogin, map[string]trial{
			"401 from the token service": {set: func(r *kindRig) { gone(r); r.hub.RefuseMissing(401) }, want: hiddenName.asking("token")},
		}},
		{upstreamtest.ECR, meaning{}, unknownName, minute, brokenLogin.asking("?"), map[string]trial{
			"password of yesterday": {login: true, set: lapse, want: brokenLogin.asking("?, ping")},
		}},
		{upstreamtest.ECRPublic, unknownName, unknownName, minute, brokenLogin, map[string]trial{
			"old token": {set: oldToken, want: isThere.asking("?, token, ?")},
		}},
		{upstreamtest.GAR, hiddenName, hiddenName, minute, brokenLogin, nil},
		{upstreamtest.Kubernetes, unknownName, meaning{}, minute, meaning{}, nil},
		{upstreamtest.ACR, unknownName, unknownName, limitedFor("3600"), brokenLogin, nil},
		{upstreamtest.GitLab, hiddenName.asking("token"), hiddenName, minute, brokenLogin, nil},
	}
}

// quayForms are the answers that Quay has of its own: quay/quay endpoints/v2.
func quayForms() map[string]trial {
	says := func(status int, code string) func(r *kindRig) {
		return func(r *kindRig) {
			manifests := func(q *http.Request) bool {
				return strings.Contains(q.URL.Path, "/manifests/") && q.Header.Get("Authorization") != ""
			}
			r.hub.Fail(manifests, refusal(status, code))
		}
	}
	disabled := unknownTag
	disabled.heldAsks = "token, ?, GET app:1" // what is not allowed to a HEAD is tried by GET
	return map[string]trial{
		"expired tag":        {set: says(404, "TAG_EXPIRED"), want: unknownTag},
		"disabled namespace": {set: says(405, "DENIED"), want: disabled},
		"over its quota":     {set: says(403, "DENIED"), want: hiddenName},
	}
}

func gone(r *kindRig) {
	for _, repo := range []string{"app", "walk"} {
		r.hub.RemoveRepository(repo)
	}
}

// usedUp has it found out before that no pull is left.
func usedUp(r *kindRig) {
	r.hub.Limit(upstreamtest.PullLimit, time.Hour)
	r.tells(r.get(manifestPath("known", "2")+alone), failed(429, "TOOMANYREQUESTS", "limited", "60"))
}

// lapse lets twelve hours go by in which the password was in use to the end.
func lapse(r *kindRig) {
	time.Sleep(time.Until(r.began.Add(12*time.Hour - time.Second)))
	r.tells(r.get(manifestPath("known", "1")+alone), confirmed())
	time.Sleep(time.Minute)
}

// oldToken makes a token bad that is good by its age.
func oldToken(r *kindRig) {
	for _, repo := range []string{"app", "walk"} {
		r.get(manifestPath(repo, "9") + alone)
		time.Sleep(time.Second)
	}
	r.hub.ExpireTokens()
}

func (d decisionsOf) trials() map[string]trial {
	all := map[string]trial{
		"there":                         {set: func(*kindRig) {}, want: isThere},
		"missing repository":            {set: gone, want: d.gone},
		"missing repository, logged in": {login: true, set: gone, want: d.memberGone},
		"missing tag": {want: unknownTag, set: func(r *kindRig) {
			r.hub.RemoveTag("app", "1")
			r.hub.RemoveTag("walk", "1")
		}},
		"limited": {want: d.limited, set: func(r *kindRig) {
			what := upstreamtest.PlainLimit
			if d.kind == upstreamtest.DockerHub {
				what = upstreamtest.PullLimit
			}
			r.hub.Limit(what, time.Hour)
		}},
		"broken login": {login: true, want: d.broken, set: func(r *kindRig) {
			r.hub.Login("me", "rotated")
			r.hub.ExpireTokens()
		}},
		"down": {set: func(r *kindRig) { r.hub.Stop() }, want: isDown},
	}
	for name, tr := range d.more {
		all[name] = tr
	}
	return all
}

// alone is for a request that nobody but the registry of a kind may answer.
const alone = "?ns=hub.test"

// What each kind of registry may answer, what comes of it for clients, and what it is asked.
func TestKindDecisions(t *testing.T) {
	for _, d := range kindDecisions() {
		for name, tr := range d.trials() {
			if tr.want.cold.Status == 0 {
				continue
			}
			timeless(t, string(d.kind)+"/"+name+"/cold", func(t *testing.T) { d.decide(t, tr, false) })
			timeless(t, string(d.kind)+"/"+name+"/held", func(t *testing.T) { d.decide(t, tr, true) })
		}
	}
}

func (d decisionsOf) decide(t *testing.T, tr trial, held bool) {
	r := newKindRig(t, d.kind, tr.login || wantsLogin(d.kind))
	ours := r.hub.AddImage("walk", "1", []byte("ours"))
	known := r.hub.AddImage("known", "1", []byte("known"))
	since := time.Now()
	if held {
		r.pulled(manifestPath("app", "1"), r.one.Manifest)
		time.Sleep(time.Second) // which one kind wants between two pulls
		r.pulled(manifestPath("walk", "1"), ours.Manifest)
		time.Sleep(time.Second)
	}
	r.pulled(manifestPath("known", "1")+alone, known.Manifest)
	time.Sleep(time.Hour)
	theirs := r.hubs["other"].AddImage("walk", "1", []byte("a stranger's"))
	tr.set(r)
	r.hub.Reset()

	want, next, method, asks := tr.want.cold, tr.want.coldNext, "GET", tr.want.asks
	if held {
		want, next, method, asks = tr.want.held, tr.want.heldNext, "HEAD", cmp.Or(tr.want.heldAsks, asks)
		if _, detail, ok := strings.Cut(want.CacheStatus, "fwd=stale; detail="); ok && detail != "confirmed" {
			want = stale(time.Since(since), detail)
		}
	}
	a := r.get(manifestPath("app", "1") + alone)
	r.tells(a, want)
	if want.Status == http.StatusOK {
		r.is(a, r.one)
	}
	r.asks("app:1", d.asked(asks, method))
	time.Sleep(time.Second)
	a = r.get(manifestPath("walk", "1"))
	if got := a.Header.Get("Docker-Content-Digest") == theirs.Digest.String(); got != next {
		t.Errorf("the next answered: %t, want %t: %s\n%s", got, next, a.Status, first(a.body))
	}
}

// asked spells out what a kind is asked.
func (d decisionsOf) asked(asks, method string) string {
	question := method + " app:1"
	switch d.kind {
	case upstreamtest.Kubernetes:
		question += ", " + method + " region's app:1"
		fallthrough
	case upstreamtest.MCR, upstreamtest.ECR:
		asks = strings.TrimPrefix(asks, "token, ")
	}
	return strings.NewReplacer("?", question, "known", "GET token repository:known:pull").Replace(asks)
}
