package proxy_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/berth-cache/berth/catalog"
	"github.com/berth-cache/berth/upstream"
	"github.com/berth-cache/berth/upstream/upstreamtest"
)

// outage is a way for an upstream to be of no use, and what its clients are told.
type outage struct {
	name   string
	tokens string // the host of the token service, if the upstream wants tokens
	begin  func(*rig)
	// waits is how long the first client waits that wants to have checked what is held; zero
	// is for a second at most, repetitions included.
	waits time.Duration
	// cold is what the first client is told that wants what is not held, and known what
	// the later ones are once the outage is known; empty is the same.
	cold, known string
	// asks is how many requests the first one takes at the upstream, and dials how often
	// that is dialled; knownAsks is how many one takes that is told known.
	asks, dials, knownAsks int
}

const (
	notAsked   = ": not asked, it is down since 01:00:00 UTC: "
	hubIsDown  = "hub.test" + notAsked
	tokensDown = "token service hub.test" + notAsked
	authDown   = "token service auth.test" + notAsked
)

// befalls and answers are the ways of outages to begin.
func befalls(t upstreamtest.Trouble) func(*rig) {
	return func(r *rig) { r.network.Befall("hub.test", t) }
}

func befallsTokens(t upstreamtest.Trouble) func(*rig) {
	return func(r *rig) { r.network.Befall("auth.test", t) }
}

func answers(on string, f upstreamtest.Fault) func(*rig) {
	return func(r *rig) {
		if f.StallAfter < 0 {
			f.Release = make(chan struct{})
		}
		r.hubs["hub"].Fail(upstreamtest.On(on), f)
	}
}

// leads redirects every request to a host that redirects on and on.
func leads(r *rig) {
	n := 0
	r.network.Serve("http://around.test", http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		n++
		http.Redirect(w, q, fmt.Sprintf("/%d", n), http.StatusFound)
	}))
	answers("", upstreamtest.Fault{Redirect: "http://around.test/0"})(r)
}

func outages() []outage {
	status := func(n int) outage {
		says := fmt.Sprintf("answered %d", n)
		return outage{
			name: fmt.Sprint(n), begin: answers("", upstreamtest.Fault{Status: n}),
			cold: "hub.test: " + says + " " + http.StatusText(n), known: hubIsDown + says, asks: 3, dials: 1,
		}
	}
	return []outage{
		{name: "refused", begin: befalls(upstreamtest.Refusing), cold: "hub.test: connection refused", known: hubIsDown + "connection refused", dials: 3},
		{name: "no such name", begin: befalls(upstreamtest.Nameless), cold: "hub.test: name hub.test does not exist", known: hubIsDown + "name hub.test does not exist"},
		{name: "name servers ill", begin: befalls(upstreamtest.Unresolved), cold: "hub.test: name hub.test could not be looked up", known: hubIsDown + "name hub.test could not be looked up"},
		{name: "blackhole", begin: befalls(upstreamtest.Silent), waits: 4 * time.Second, cold: "hub.test: no answer in time", known: hubIsDown + "no answer in time", dials: 1},
		{name: "certificate expired", begin: befalls(upstreamtest.Expired), cold: "hub.test: certificate has expired or is not valid yet", known: hubIsDown + "certificate has expired or is not valid yet", dials: 1},
		{name: "certificate of a stranger", begin: befalls(upstreamtest.Untrusted), cold: "hub.test: certificate is signed by an unknown authority; set ca_file of upstream hub", known: hubIsDown + "certificate is signed by an unknown authority; set ca_file of upstream hub", dials: 1},
		{name: "certificate of another", begin: befalls(upstreamtest.Misnamed), cold: "hub.test: certificate is for another host", known: hubIsDown + "certificate is for another host", dials: 1},
		{name: "cut", begin: answers("", upstreamtest.Fault{CutAfter: -1}), cold: "hub.test: connection broke before an answer", known: hubIsDown + "connection broke before an answer", asks: 3, dials: 3},
		{name: "silent", begin: answers("", upstreamtest.Fault{StallAfter: -1}), waits: 4 * time.Second, cold: "hub.test: no answer in time", known: hubIsDown + "no answer in time", asks: 1, dials: 1},
		status(500), status(502), status(503), status(504),
		{name: "token service cut", tokens: "hub.test", begin: answers("GET token", upstreamtest.Fault{CutAfter: -1}), cold: "token service hub.test: connection broke before an answer", known: tokensDown + "connection broke before an answer", asks: 3, dials: 3},
		{name: "token service silent", tokens: "hub.test", begin: answers("GET token", upstreamtest.Fault{StallAfter: -1}), waits: 4 * time.Second, cold: "token service hub.test: no answer in time", known: tokensDown + "no answer in time", asks: 1, dials: 1},
		{name: "token service 503", tokens: "hub.test", begin: answers("GET token", upstreamtest.Fault{Status: 503}), cold: "token service hub.test: answered 503 Service Unavailable", known: tokensDown + "answered 503", asks: 3, dials: 1},
		{name: "token service refused", tokens: "auth.test", begin: befallsTokens(upstreamtest.Refusing), cold: "token service auth.test: connection refused", known: authDown + "connection refused", dials: 3},
		{name: "token service without a name", tokens: "auth.test", begin: befallsTokens(upstreamtest.Nameless), cold: "token service auth.test: name auth.test does not exist", known: authDown + "name auth.test does not exist"},
		{name: "redirect in a circle", begin: answers("", upstreamtest.Fault{Redirect: "http://hub.test/v2/"}), cold: "hub.test: redirect not followed: hub.test leads in a circle", asks: 2, dials: 1},
		{name: "redirects without end", begin: leads, cold: "hub.test: redirect not followed: more than 5 of them", asks: 1, dials: 2},
		{name: "redirect to nobody", begin: answers("", upstreamtest.Fault{Redirect: "http://nobody.test/"}), cold: "hub.test: nobody.test: name nobody.test does not exist", known: "hub.test: nobody.test: not asked, it is down since 01:00:00 UTC: name nobody.test does not exist", asks: 1, dials: 1, knownAsks: 1},
		{name: "redirect to loopback", begin: answers("", upstreamtest.Fault{Redirect: "http://127.0.0.1/"}), cold: "hub.test: host 127.0.0.1 is a private address; set private for upstream hub if that is meant", asks: 1, dials: 1},
		{name: "redirect to link-local", begin: answers("", upstreamtest.Fault{Redirect: "http://169.254.169.254/"}), cold: "hub.test: host 169.254.169.254 is a link-local or metadata address", asks: 1, dials: 1},
	}
}

// rig is a Berth that holds images 0 to 11 of the upstream hub, unchecked for an hour, when
// the outage begins.
func (o outage) rig(t *testing.T) (*rig, []upstreamtest.Image) {
	t.Helper()
	r := newRig(t, plan{upstreams: []far{{
		name: "hub", secure: strings.Contains(o.name, "certificate"),
		change: func(u *catalog.Upstream) { u.Validity = time.Minute },
		client: func(cfg *upstream.Config) { cfg.Realms = []string{"auth.test"} },
	}}})
	hub := r.hubs["hub"]
	if o.tokens != "" {
		hub.RequireToken("", "")
		hub.Realm("http://" + o.tokens + "/token")
		if o.tokens != "hub.test" {
			r.network.Serve("http://"+o.tokens, hub)
		}
	}
	images := make([]upstreamtest.Image, 12)
	for i := range images {
		images[i] = hub.AddImage("app", fmt.Sprint(i), []byte("layer"))
		r.pulled(manifestPath("app", fmt.Sprint(i)), images[i].Manifest)
	}
	r.pulled(blobPath("app", images[0].Layers[0]), []byte("layer"))
	hub.AddImage("cold", "1")
	time.Sleep(time.Hour)
	hub.Reset()
	o.begin(r)
	return r, images
}

// TestOutage: what is held is served within four seconds at the worst, and at once as soon as
// the upstream is known to be ill; digests do not notice. Then all is as before.
func TestOutage(t *testing.T) {
	for _, o := range outages() {
		timeless(t, o.name, func(t *testing.T) {
			r, images := o.rig(t)
			for i, image := range images {
				began := time.Now()
				a := r.pulled(manifestPath("app", fmt.Sprint(i)), image.Manifest)
				took := time.Since(began)
				if i == 0 && (o.waits > 0 && took != o.waits || o.waits == 0 && took > time.Second) || i > 0 && took > time.Second {
					t.Errorf("the %dth waited for %s", i, took)
				}
				if i == len(images)-1 && took >= 50*time.Millisecond {
					t.Errorf("when the outage is known: after %s", took)
				}
				detail := strings.TrimPrefix(a.Header.Get("Cache-Status"), "berth; hit; fwd=stale; detail=")
				if detail != "upstream-unavailable" && detail != "unconfirmed" {
					t.Errorf("the %dth: %s", i, detail)
				}
				began = time.Now()
				r.pulled(manifestPath("app", image.Digest.String()), image.Manifest)
				r.pulled(blobPath("app", image.Layers[0]), []byte("layer"))
				if took := time.Since(began); took > 0 {
					t.Errorf("by digest: after %s", took)
				}
			}
			o.over(r, images[0])
		})
	}
}

// over ends the outage, and waits for the world to be as it was.
func (o outage) over(r *rig, image upstreamtest.Image) {
	r.tb.Helper()
	r.hubs["hub"].Mend()
	befalls(upstreamtest.Well)(r)
	befallsTokens(upstreamtest.Well)(r)
	time.Sleep(time.Minute)
	for range 2 { // the first may be served while the trial runs
		r.pulled(manifestPath("app", "0"), image.Manifest)
		time.Sleep(time.Second)
	}
	time.Sleep(time.Minute)
	r.tells(r.pulled(manifestPath("app", "0"), image.Manifest), confirmed())
	if a := r.get(manifestPath("cold", "1")); a.StatusCode != http.StatusOK {
		r.tb.Errorf("cold: %s %s", a.Status, a.body)
	}
}

// TestOutageOfWhatIsNotHeld: 503, with words that say which upstream is how, after few
// requests; once the outage is known, after none.
func TestOutageOfWhatIsNotHeld(t *testing.T) {
	for _, o := range outages() {
		timeless(t, o.name, func(t *testing.T) {
			r, images := o.rig(t)
			requests, dials := 0, len(r.network.Dialled())
			refused := func(says string, wantRequests, wantDials int) {
				t.Helper()
				a := r.get(manifestPath("cold", "1"))
				r.tells(a, failed(503, "UNAVAILABLE", "unavailable", "5"))
				if diff := cmp.Diff(api(503, "UNAVAILABLE", "cold:1 cannot be fetched now: hub: "+says), refusedAs(t, a)); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				nowRequests, nowDials := len(r.hubs["hub"].Requests()), len(r.network.Dialled())
				if nowRequests-requests != wantRequests || nowDials-dials != wantDials {
					t.Errorf("%d requests, %d dials; want %d, %d", nowRequests-requests, nowDials-dials, wantRequests, wantDials)
				}
				requests, dials = nowRequests, nowDials
			}
			refused(o.cold, o.asks, o.dials)
			if o.known == "" {
				refused(o.cold, o.asks, 0)
			} else {
				for range 5 {
					r.get(manifestPath("cold", "1"))
				}
				requests, dials = len(r.hubs["hub"].Requests()), len(r.network.Dialled())
				refused(o.known, o.knownAsks, 0)
			}
			o.over(r, images[0])
		})
	}
}

// TestSlowFirstByte: who has nothing waits for what comes, who has something does not, and
// from the second on not at all, however late the upstream answers every time.
func TestSlowFirstByte(t *testing.T) {
	for late, waits := range map[time.Duration]struct{ first, later time.Duration }{
		3 * time.Second:  {3 * time.Second, 3 * time.Second}, // in time for four seconds
		10 * time.Second: {4 * time.Second, 25 * time.Millisecond},
	} {
		o := outage{begin: answers("", upstreamtest.Fault{Delay: late})}
		timeless(t, late.String(), func(t *testing.T) {
			r, images := o.rig(t)
			want := waits.first
			for i, image := range images {
				began := time.Now()
				r.pulled(manifestPath("app", fmt.Sprint(i)), image.Manifest)
				if took := time.Since(began); took != want {
					t.Errorf("held, the %dth: after %s, want %s", i, took, want)
				}
				want = waits.later
				time.Sleep(20 * time.Second) // each is answered before the next is asked
			}
			began := time.Now()
			if a := r.get(manifestPath("cold", "1")); a.StatusCode != http.StatusOK || time.Since(began) != late {
				t.Errorf("cold: %s after %s", a.Status, time.Since(began))
			}
			o.over(r, images[0])
		})
	}
}
