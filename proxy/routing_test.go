package proxy_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/berth-cache/berth/catalog"
	"github.com/berth-cache/berth/upstream/upstreamtest"
)

// told is what an answer tells its client besides the content.
type told struct {
	Status                                      int
	Code, CacheStatus, Age, Warning, RetryAfter string
}

func tell(a answer) told {
	var body struct {
		Errors []struct{ Code string }
	}
	t := told{
		Status: a.StatusCode, CacheStatus: a.Header.Get("Cache-Status"), Age: a.Header.Get("Age"),
		Warning: a.Header.Get("Warning"), RetryAfter: a.Header.Get("Retry-After"),
	}
	if a.StatusCode >= 400 && json.Unmarshal(a.body, &body) == nil && len(body.Errors) == 1 {
		t.Code = body.Errors[0].Code
	}
	return t
}

// tells compares what an answer tells with want.
func (r *rig) tells(a answer, want told) {
	r.tb.Helper()
	if strings.Contains(a.Request.URL.Path, "/blobs/") {
		want.Age = "" // a blob has none
	}
	if diff := cmp.Diff(want, tell(a)); diff != "" {
		r.tb.Errorf("%s %s (-want +got):\n%s%s", a.Request.Method, a.Request.URL.Path, diff, first(a.body))
	}
}

// is checks which content an answer has, or names if it is to a HEAD.
func (r *rig) is(a answer, want upstreamtest.Image) {
	r.tb.Helper()
	if got := a.Header.Get("Docker-Content-Digest"); got != want.Digest.String() {
		r.tb.Errorf("%s %s: digest %q, want %s", a.Request.Method, a.Request.URL.Path, got, want.Digest)
	}
	if a.Request.Method == "GET" && string(a.body) != string(want.Manifest) {
		r.tb.Errorf("GET %s: other bytes than %s", a.Request.URL.Path, want.Digest)
	}
}

// warning is what a client is told of a copy that could not be confirmed.
func warning(age, detail string) string {
	return `299 - "served from cache, last confirmed ` + age + ` s ago: ` + detail + `"`
}

// refusal is an answer in a registry's form.
func refusal(status int, code string) upstreamtest.Fault {
	return upstreamtest.Fault{
		Status: status, Body: upstreamtest.ErrorBody(code, "no"), Header: http.Header{"Content-Type": {"application/json"}},
	}
}

func page(status int) upstreamtest.Fault {
	return upstreamtest.Fault{
		Status: status, Body: []byte("<html>please log in to the network</html>"), Header: http.Header{"Content-Type": {"text/html"}},
	}
}

func waitFor(f upstreamtest.Fault, seconds string) upstreamtest.Fault {
	f.Header.Set("Retry-After", seconds)
	return f
}

// trouble is a row of the decision table: a way not to answer with the content, and what
// it means.
type trouble struct {
	name string
	// fault is made inside the bubble.
	fault func(r *rig) upstreamtest.Fault
	// times is how often one request is sent before its answer is believed.
	times int
	// next: it counts as "not here", so that the next upstream is asked.
	next bool
	// status, code and retryAfter are the answer where nobody else may be asked, outcome
	// is its Cache-Status detail.
	status                    int
	code, outcome, retryAfter string
	// stale is the detail with which a copy is served; empty if it must not be.
	stale string
	// getToo: what is refused to a HEAD is tried as a GET.
	getToo bool
}

func always(f upstreamtest.Fault) func(*rig) upstreamtest.Fault {
	return func(*rig) upstreamtest.Fault { return f }
}

func notHere(name string, f upstreamtest.Fault) trouble {
	return trouble{name: name, fault: always(f), times: 1, next: true, status: 404, code: "MANIFEST_UNKNOWN", outcome: "not_found"}
}

func unavailable(name string, times int, f upstreamtest.Fault) trouble {
	return trouble{
		name: name, fault: always(f), times: times, status: 503, code: "UNAVAILABLE", outcome: "unavailable", retryAfter: "5",
		stale: "upstream-unavailable",
	}
}

func limited(name, retryAfter string, f upstreamtest.Fault) trouble {
	return trouble{
		name: name, fault: always(f), times: 1, status: 429, code: "TOOMANYREQUESTS", outcome: "limited", retryAfter: retryAfter,
		stale: "upstream-limited",
	}
}

func troubles() []trouble {
	unknownName := notHere("404 NAME_UNKNOWN", refusal(404, "NAME_UNKNOWN"))
	unknownName.code = "NAME_UNKNOWN"
	noMethod := notHere("405", refusal(405, "UNSUPPORTED"))
	noMethod.getToo = true
	stalled := unavailable("no answer at all", 1, upstreamtest.Fault{})
	stalled.fault = func(*rig) upstreamtest.Fault {
		return upstreamtest.Fault{Release: make(chan struct{}), StallAfter: -1}
	}
	stalled.stale = "unconfirmed"
	nameless := unavailable("name without an address", 0, upstreamtest.Fault{})
	nameless.fault = func(r *rig) upstreamtest.Fault {
		r.network.Resolve("hub.test")
		_, err := r.network.LookupNetIP(r.tb.Context(), "ip", "hub.test") // the last good answer
		check(r.tb, err)
		return upstreamtest.Fault{}
	}
	return []trouble{
		unknownName, noMethod, stalled, nameless,
		notHere("404 MANIFEST_UNKNOWN", refusal(404, "MANIFEST_UNKNOWN")),
		notHere("404 with a web page", page(404)),
		notHere("410", refusal(410, "UNKNOWN")),
		notHere("400", refusal(400, "TAG_INVALID")),
		notHere("406", refusal(406, "UNSUPPORTED")),
		unavailable("403 with a web page", 1, page(403)),
		limited("429", "60", refusal(429, "TOOMANYREQUESTS")),
		limited("429 with Retry-After", "90", waitFor(refusal(429, "TOOMANYREQUESTS"), "90")),
		unavailable("500", 3, refusal(500, "UNKNOWN")),
		unavailable("502", 3, refusal(502, "UNKNOWN")),
		unavailable("503", 3, refusal(503, "UNAVAILABLE")),
		unavailable("503 with Retry-After", 1, waitFor(refusal(503, "UNAVAILABLE"), "90")),
		unavailable("504", 3, refusal(504, "UNKNOWN")),
		unavailable("418", 1, refusal(418, "TEAPOT")),
		unavailable("connection cut", 3, upstreamtest.Fault{CutAfter: -1}),
		unavailable("redirect to nowhere", 1, upstreamtest.Fault{Status: 307}),
	}
}

// decision runs one row: an upstream in trouble with another behind it that has every
// name too, with content of its own.
type decision struct {
	*rig
	trouble
	since time.Time // when everything under held/ was pulled
}

func TestDecisions(t *testing.T) {
	for _, row := range troubles() {
		timeless(t, row.name, func(t *testing.T) {
			d := decision{rig: newRig(t, plan{upstreams: []far{{name: "hub"}, {name: "other"}}}), trouble: row}
			d.run()
		})
	}
}

func (d decision) run() {
	images := map[string]upstreamtest.Image{}
	for _, repo := range []string{"held/get", "held/head", "held/only"} {
		images[repo] = d.hubs["hub"].AddImage(repo, "1", []byte("hub's "+repo))
		d.pulled(manifestPath(repo, "1"), images[repo].Manifest)
	}
	d.since = time.Now()
	d.hubs["hub"].Reset()
	time.Sleep(23 * time.Hour)
	d.hubs["hub"].Fail(nil, d.fault(d.rig))
	for _, ref := range []string{"1", images["held/get"].Digest.String()} {
		a := d.get(manifestPath("held/get", ref))
		d.is(a, images["held/get"])
		if got, want := a.Header.Get("Cache-Status"), "berth; hit"; got != want {
			d.tb.Errorf("fresh %s: Cache-Status %q, want %q", ref, got, want)
		}
	}
	d.asked("hub")
	time.Sleep(time.Hour)
	for _, ask := range []func(){
		func() { d.expired("GET", "held/get", images["held/get"]) },
		func() { d.expired("HEAD", "held/head", images["held/head"]) },
		func() { d.expiredAlone("held/only", images["held/only"]) },
		func() { d.cold("GET", "cold/get") },
		func() { d.cold("HEAD", "cold/head") },
		func() { d.coldAlone("cold/only") },
		func() { d.coldDigest("GET", "digest/get") },
		func() { d.coldDigest("HEAD", "digest/head") },
		func() { d.coldBlob("blob/get") },
	} {
		ask()
		d.well()
	}
}

// well has the upstream answer once, so that what it did before is not held against it.
func (d decision) well() {
	hub := d.hubs["hub"]
	hub.Mend()
	d.get("/v2/held/get/tags/list?n=" + strconv.FormatInt(time.Now().UnixNano(), 10))
	hub.Reset()
	hub.Fail(nil, d.fault(d.rig))
}

// requests is what the upstream in trouble sees of one question.
func (d decision) requests(method, what string) []string {
	all := slices.Repeat([]string{method + " " + what}, d.times)
	if d.getToo && method == "HEAD" {
		all = append(all, "GET "+what)
	}
	return all
}

// theirs puts an image into the other upstream, and begins a new step: past every limit.
func (d decision) theirs(repo string) upstreamtest.Image {
	time.Sleep(2 * time.Minute)
	image := d.hubs["other"].AddImage(repo, "1", []byte("other's "+repo))
	d.hubs["hub"].Reset()
	d.hubs["other"].Reset()
	return image
}

func (d decision) failure(method string) told {
	t := told{Status: d.status, Code: d.code, CacheStatus: "berth; fwd=miss; detail=" + d.outcome, RetryAfter: d.retryAfter}
	if method == "HEAD" {
		t.Code = ""
	}
	return t
}

// staleAnswer is what is told of a copy, at the moment of its answer.
func (d decision) staleAnswer() told {
	age := strconv.Itoa(int(time.Since(d.since).Seconds()))
	return told{Status: 200, CacheStatus: "berth; hit; fwd=stale; detail=" + d.stale, Age: age, Warning: warning(age, d.stale)}
}

func (d decision) expired(method, repo string, ours upstreamtest.Image) {
	d.tb.Helper()
	theirs := d.theirs(repo)
	began := time.Now()
	a := d.do(method, manifestPath(repo, "1"))
	if d.next {
		d.tells(a, told{Status: 200, CacheStatus: "berth; fwd=stale; stored", Age: "0"})
		d.is(a, theirs)
		d.asked("other", "HEAD manifest "+repo+":1", "GET manifest "+repo+"@"+short(theirs.Digest))
	} else {
		d.tells(a, d.staleAnswer())
		d.is(a, ours)
		d.asked("other")
	}
	if took := time.Since(began); d.stale == "unconfirmed" && took != 4*time.Second {
		d.tb.Errorf("the client waited %s for its copy, want 4s", took)
	}
	d.asked("hub", d.requests("HEAD", "manifest "+repo+":1")...)
}

func (d decision) expiredAlone(repo string, ours upstreamtest.Image) {
	d.tb.Helper()
	d.theirs(repo)
	a := d.get(manifestPath(repo, "1") + "?ns=hub.test")
	if d.next {
		want := d.failure("GET")
		want.Code = "MANIFEST_UNKNOWN" // a HEAD's answer has no body to say more
		d.tells(a, want)
		d.asked("hub", d.requests("HEAD", "manifest "+repo+":1")...)
		return
	}
	d.tells(a, d.staleAnswer())
	d.is(a, ours)
}

func (d decision) cold(method, repo string) {
	d.tb.Helper()
	theirs := d.theirs(repo)
	a := d.do(method, manifestPath(repo, "1"))
	d.asked("hub", d.requests(method, "manifest "+repo+":1")...)
	if d.next {
		d.tells(a, told{Status: 200, CacheStatus: "berth; fwd=miss; stored", Age: "0"})
		d.is(a, theirs)
		d.asked("other", method+" manifest "+repo+":1")
		return
	}
	d.tells(a, d.failure(method))
	d.asked("other")
}

func (d decision) coldAlone(repo string) {
	d.tb.Helper()
	d.theirs(repo)
	d.tells(d.get(manifestPath(repo, "1")+"?ns=hub.test"), d.failure("GET"))
	d.asked("other")
}

// A digest proves itself, so whoever has it will do.
func (d decision) coldDigest(method, repo string) {
	d.tb.Helper()
	theirs := d.theirs(repo)
	a := d.do(method, manifestPath(repo, theirs.Digest.String()))
	d.tells(a, told{Status: 200, CacheStatus: "berth; fwd=miss; stored", Age: "0"})
	d.is(a, theirs)
	d.asked("hub", d.requests(method, "manifest "+repo+"@"+short(theirs.Digest))...)
	d.asked("other", method+" manifest "+repo+"@"+short(theirs.Digest))
}

func (d decision) coldBlob(repo string) {
	d.tb.Helper()
	layer := d.theirs(repo).Layers[0]
	a := d.get(blobPath(repo, layer))
	d.tells(a, told{Status: 200, CacheStatus: "berth; fwd=miss; stored", Age: "0"})
	if layer.Algorithm().FromBytes(a.body) != layer {
		d.tb.Errorf("blob: %d bytes that are not it", len(a.body))
	}
	d.asked("hub", d.requests("GET", "blob "+repo+"@"+short(layer))...)
	d.asked("other", "GET blob "+repo+"@"+short(layer))
}

// What a walk over three upstreams does when one of them is ill.
func TestIllUpstreamAmongThree(t *testing.T) {
	next := func(r *catalog.Registry) { r.NextOnError = true }
	refused := upstreamtest.Fault{Status: 401}
	rows := []struct {
		name     string
		registry func(*catalog.Registry)
		// origin has app:1, which was pulled; app:2 is at all of them.
		origin, ill string
		fault       upstreamtest.Fault
		asked       string // who is asked for app:2, in order
		status      int
	}{
		{name: "the first, unknown repository", ill: "a", fault: refusal(500, ""), asked: "a", status: 503},
		{name: "the first, and the last is the origin", origin: "c", ill: "a", fault: refusal(500, ""), asked: "a c", status: 200},
		{name: "the first is limited, and the last is the origin", origin: "c", ill: "a", fault: refusal(429, ""), asked: "a c", status: 200},
		{name: "the first, and the next is the origin", origin: "b", ill: "a", fault: refusal(500, ""), asked: "a b", status: 200},
		{name: "the first and origin", origin: "a", ill: "a", fault: refusal(500, ""), asked: "a", status: 503},
		{name: "all, and the last is the origin", origin: "c", ill: "a b c", fault: refusal(500, ""), asked: "a c", status: 503},
		{name: "the first, on_error next", registry: next, ill: "a", fault: refusal(500, ""), asked: "a b", status: 200},
		{name: "the first two, on_error next", registry: next, ill: "a b", fault: refusal(500, ""), asked: "a b c", status: 200},
		{name: "all limited, on_error next", registry: next, ill: "a b c", fault: refusal(429, ""), asked: "a b c", status: 429},
		{name: "the origin's login, on_error next", registry: next, origin: "a", ill: "a", fault: refused, asked: "a", status: 502},
	}
	for _, row := range rows {
		timeless(t, row.name, func(t *testing.T) {
			r := newRig(t, plan{upstreams: []far{{name: "a"}, {name: "b"}, {name: "c"}}, registry: row.registry})
			if row.origin != "" {
				image := r.hubs[row.origin].AddImage("app", "1", []byte("first"))
				r.pulled(manifestPath("app", "1"), image.Manifest)
			}
			time.Sleep(time.Hour) // what was not there is forgotten
			for name, hub := range r.hubs {
				hub.AddImage("app", "2", []byte("second, of "+name))
				hub.Reset()
				if strings.Contains(row.ill, name) {
					hub.Fail(nil, row.fault)
				}
			}
			a := r.get(manifestPath("app", "2"))
			if a.StatusCode != row.status {
				t.Errorf("%s, want %d\n%s", a.Status, row.status, a.body)
			}
			asked := strings.Fields(row.asked)
			for name, hub := range r.hubs {
				if got, want := hub.Count("") > 0, slices.Contains(asked, name); got != want {
					t.Errorf("%s asked: %t, want %t", name, got, want)
				}
			}
			if last := asked[len(asked)-1]; row.status == 200 {
				r.is(a, r.hubs[last].AddImage("app", "2", []byte("second, of "+last)))
			}
		})
	}
}
