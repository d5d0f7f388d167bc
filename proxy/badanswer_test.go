package proxy_test

import (
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-cache/berth/state"
	"github.com/berth-cache/berth/upstream/upstreamtest"
)

const (
	emptyIndex     = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`
	dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	webPage        = "<!doctype html><html>log in at http://portal.test/?token=secret</html>"

	sayUnreadable = "sent a manifest that cannot be used: it is not a JSON document of a manifest"
	sayMismatch   = "sent a manifest that cannot be used: its bytes have the digest sha256:… instead of sha256:…"
	sayShort      = "sent less of the manifest than it announced"
	sayLarge      = "sent a manifest that is larger than allowed"
	sayEncoded    = "hub.test: unusable answer: encoded although identity was asked for"
	sayList       = "sent a list that cannot be read"
	sayShortList  = "sent less of a list than it announced"
	sayLargeList  = "sent a list that is larger than allowed"
)

// badAnswer is an answer of an upstream that is no good, and what its client is told.
type badAnswer struct {
	name  string
	spoil upstreamtest.Fault
	// says is the client's message after the upstream's name. Empty: it depends on how
	// much the client had by then, which is cut off at the latest before the last byte.
	says string
}

// spoiled is one bad answer to one request.
type spoiled struct {
	badAnswer
	// on is what is spoiled in the upstream's record, e.g. "GET blob".
	on string
	// path is asked for, and subject is what the message calls it.
	path, subject string
	// body is what a good answer has.
	body []byte
}

func with(mediaType, body string) upstreamtest.Fault {
	return upstreamtest.Fault{Status: 200, Body: []byte(body), MediaType: mediaType}
}

func gzipped() upstreamtest.Fault {
	return upstreamtest.Fault{Header: http.Header{"Content-Encoding": {"gzip"}}}
}

// nested is JSON of that depth.
func nested(depth int) string {
	return `{"config":` + strings.Repeat("[", depth-1) + strings.Repeat("]", depth-1) + `}`
}

func huge() string { return strings.Repeat(" ", 9<<20) }

// badManifests are the same by tag and by digest, but that by digest a body that is not
// the one asked for is known by its digest.
func badManifests(byDigest bool) []badAnswer {
	content := func(says string) string {
		if byDigest {
			return sayMismatch
		}
		return says
	}
	return []badAnswer{
		{"corrupt", upstreamtest.Fault{Corrupt: true}, sayMismatch},
		{"corrupt, no digest given", upstreamtest.Fault{Corrupt: true, Digest: "-"}, content(sayUnreadable)},
		{"more announced than there is", upstreamtest.Fault{Length: 9999}, sayShort},
		{"the beginning alone", with(ocispec.MediaTypeImageManifest, `{"schemaVers`), content(sayUnreadable)},
		{"cut off", upstreamtest.Fault{CutAfter: 10}, sayShort},
		{"cut off before the header", upstreamtest.Fault{CutAfter: -1}, "hub.test: connection broke before an answer"},
		{"empty", with(ocispec.MediaTypeImageManifest, ""), content(sayUnreadable)},
		{"a web page", with("text/html", webPage), content(sayUnreadable)},
		{"JSON of 10,001 levels", with(ocispec.MediaTypeImageManifest, nested(10_001)), content(sayUnreadable)},
		{"9 MiB", with(ocispec.MediaTypeImageManifest, huge()), sayLarge},
		{"9 MiB announced", upstreamtest.Fault{Length: 9 << 20}, "hub.test: manifest of 9437184 bytes: answer is larger than allowed (8388608 bytes)"},
		{"gzip although identity was asked for", gzipped(), sayEncoded},
		{"a part", upstreamtest.Fault{Status: 206}, "hub.test: answered 206 Partial Content"},
		{"nothing", upstreamtest.Fault{Status: 204}, "hub.test: answered 204 No Content"},
		{"not modified", upstreamtest.Fault{Status: 304}, "hub.test: redirect not followed: status 304 from hub.test"},
	}
}

func badBlobs() []badAnswer {
	return []badAnswer{
		{"corrupt", upstreamtest.Fault{Corrupt: true}, ""},
		{"more announced than there is", upstreamtest.Fault{Length: 9999}, ""},
		{"the beginning alone", with("application/octet-stream", "layer layer"), ""},
		{"cut off", upstreamtest.Fault{CutAfter: 10}, ""},
		{"cut off before the header", upstreamtest.Fault{CutAfter: -1}, "hub.test: connection broke before an answer"},
		{"a web page", with("text/html", webPage), ""},
		{"another of unknown length", with("application/octet-stream", strings.Repeat("other", 2000)), ""},
		{"empty", with("application/octet-stream", ""), ""},
		{"gzip although identity was asked for", gzipped(), sayEncoded},
		{"a part", upstreamtest.Fault{Status: 206}, "hub.test: answered 206 Partial Content"},
		{"nothing", upstreamtest.Fault{Status: 204}, "hub.test: answered 204 No Content"},
	}
}

func badLists(kind, mediaType string) []badAnswer {
	return []badAnswer{
		{"more announced than there is", upstreamtest.Fault{Length: 9999}, sayShortList},
		{"the beginning alone", with(mediaType, `{"na`), sayList},
		{"cut off", upstreamtest.Fault{CutAfter: 10}, sayShortList},
		{"cut off before the header", upstreamtest.Fault{CutAfter: -1}, "hub.test: connection broke before an answer"},
		{"empty", with(mediaType, ""), sayList},
		{"a list of numbers", with(mediaType, `{"tags":[1],"manifests":[1]}`), sayList},
		{"no object", with(mediaType, `["a"]`), sayList},
		{"JSON of 10,001 levels", with(mediaType, nested(10_001)), sayList},
		{"a web page of that type", with(mediaType, webPage), sayList},
		{"9 MiB", with(mediaType, huge()), sayLargeList},
		{"9 MiB announced", upstreamtest.Fault{Length: 9 << 20}, "hub.test: " + kind + " of 9437184 bytes: answer is larger than allowed (8388608 bytes)"},
		{"gzip although identity was asked for", gzipped(), sayEncoded},
		{"a part", upstreamtest.Fault{Status: 206}, "hub.test: answered 206 Partial Content"},
	}
}

// badRig is a rig whose state can be looked into.
func badRig(t *testing.T) (*rig, *state.Bolt) {
	t.Helper()
	facts, err := state.OpenBolt(filepath.Join(t.TempDir(), "state.db"), state.BoltOptions{})
	check(t, err)
	t.Cleanup(func() { check(t, facts.Close()) })
	return newRig(t, plan{upstreams: []far{{name: "hub"}}, state: facts}), facts
}

// A bad answer reaches no client as a good one, nor the disk, nor the facts; it is told in
// words that name the upstream and no more; and it is not believed for a moment longer.
func TestBadAnswers(t *testing.T) {
	var all []spoiled
	add := func(s spoiled, answers []badAnswer) {
		for _, b := range answers {
			s.badAnswer = b
			all = append(all, s)
		}
	}
	hub := upstreamtest.New(t)
	image := putGood(hub)
	layer, subject := image.Layers[0], image.Digest.String()
	blob, ok := hubBlob(image)
	if !ok {
		t.Fatal("no layer")
	}
	add(spoiled{on: "GET manifest", path: manifestPath("app", "1"), subject: "app:1", body: image.Manifest}, badManifests(false))
	add(spoiled{on: "GET manifest", path: manifestPath("app", subject), subject: "app@sha256:…", body: image.Manifest}, badManifests(true))
	add(spoiled{on: "GET blob", path: blobPath("app", layer), subject: "app@sha256:…", body: blob}, badBlobs())
	add(spoiled{on: "GET tags", path: "/v2/app/tags/list", subject: "app", body: []byte(`{"name":"app","tags":["1"]}`)}, badLists("tags", "application/json"))
	add(spoiled{on: "GET tags", path: "/v2/app/tags/list", subject: "app", body: []byte(`{"name":"app","tags":["1"]}`)}, []badAnswer{{"a web page", with("text/html", webPage), sayList}})
	add(spoiled{on: "GET referrers", path: "/v2/app/referrers/" + subject, subject: "app@sha256:…", body: []byte(emptyIndex)}, badLists("referrers", ocispec.MediaTypeImageIndex))
	for _, s := range all {
		t.Run(s.on+" "+strings.SplitAfter(s.path, "/")[4]+" "+s.name, func(t *testing.T) { synctest.Test(t, s.test) })
	}
}

// putGood puts a good image into app:1.
func putGood(hub *upstreamtest.Registry) upstreamtest.Image {
	return hub.AddImage("app", "1", []byte(strings.Repeat("layer ", 300)))
}

func hubBlob(image upstreamtest.Image) ([]byte, bool) {
	layer := []byte(strings.Repeat("layer ", 300))
	return layer, digest.FromBytes(layer) == image.Layers[0]
}

func (s spoiled) test(t *testing.T) {
	r, facts := badRig(t)
	hub := r.hubs["hub"]
	putGood(hub)
	hub.Fail(upstreamtest.On(s.on), s.spoil)
	if s.says == "" {
		r.broken(t, s.path)
	} else {
		r.unavailable(t, r.get(s.path), s.subject+" cannot be fetched now: hub: "+s.says)
		noFacts(t, facts)
	}
	r.noContent(t)

	hub.Mend()
	r.pulled(s.path, s.body)
}

// broken checks that a GET ends in an error, whether or not the header was out by then.
func (r *rig) broken(t *testing.T, path string) {
	t.Helper()
	response, err := r.open(path)
	if err != nil {
		return // cut off before anything was sent
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	switch {
	case response.StatusCode == http.StatusOK && err != nil: // cut off
	case response.StatusCode == http.StatusServiceUnavailable:
		harmless(t, r, body)
	default:
		t.Errorf("%s with a whole body of %d bytes: %.80q", response.Status, len(body), body)
	}
}

// harmless checks that a body tells nothing that is not the client's business.
func harmless(t *testing.T, r *rig, body []byte) {
	t.Helper()
	for _, secret := range []string{"://", "/v2/", "portal", "secret", "token", r.dir} {
		if strings.Contains(string(body), secret) {
			t.Errorf("the client is told of %q: %s", secret, body)
		}
	}
}

// digests are shown short in what is compared.
var digests = regexp.MustCompile(`sha256:[0-9a-f]{64}`)

// unavailable checks the whole of an answer that says that the upstream is no good.
func (r *rig) unavailable(t *testing.T, a answer, message string) {
	t.Helper()
	got := refusedAs(t, a)
	got.Message = digests.ReplaceAllString(got.Message, "sha256:…")
	if diff := cmp.Diff(api(503, "UNAVAILABLE", message), got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	harmless(t, r, a.body)
	var body struct {
		Errors []struct {
			Detail []struct{ Upstream, Said string }
		}
	}
	if err := json.Unmarshal(a.body, &body); err != nil || len(body.Errors) != 1 || len(body.Errors[0].Detail) != 1 || body.Errors[0].Detail[0].Upstream != "hub" {
		t.Errorf("detail does not name the upstream: %s", a.body)
	}
}

// noContent checks that no content is held.
func (r *rig) noContent(t *testing.T) {
	t.Helper()
	families, err := r.metrics.Gather()
	check(t, err)
	for _, f := range families {
		if f.GetName() == "berth_content_objects" {
			if n := f.GetMetric()[0].GetGauge().GetValue(); n != 0 {
				t.Errorf("%v objects are held", n)
			}
			return
		}
	}
	t.Error("no metric tells what is held")
}

// noFacts checks that no link, pointer, origin or list was written.
func noFacts(t *testing.T, facts state.Store) {
	t.Helper()
	entries, err := facts.Scan(t.Context(), state.Range{Limit: 100})
	check(t, err)
	for _, e := range entries {
		t.Errorf("kept %s = %s", e.Key, e.Value)
	}
}

// Manifests that an upstream really holds, but which clients would not all read alike.
func TestUnusableManifests(t *testing.T) {
	const oci, index = ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageIndex
	for _, c := range []struct{ name, mediaType, body, says string }{
		{"an image and an index", oci, `{"schemaVersion":2,"config":{},"layers":[],"manifests":[]}`, "it is both an image and an index"},
		{"an image and an index by its type", index, `{"schemaVersion":2,"layers":[],"manifests":[]}`, "it is both an image and an index"},
		{"an index as an image", oci, `{"schemaVersion":2,"manifests":[]}`, "its content is not what application/vnd.oci.image.manifest.v1+json says"},
		{"an image as an index", index, `{"schemaVersion":2,"config":{},"layers":[]}`, "its content is not what application/vnd.oci.image.index.v1+json says"},
		{"two types", oci, `{"schemaVersion":2,"mediaType":"` + dockerManifest + `","config":{},"layers":[]}`, "it says it is " + dockerManifest + " and came as " + oci},
		{"schema 1", "application/vnd.docker.distribution.manifest.v1+prettyjws", `{"schemaVersion":1,"fsLayers":[]}`, "it is of Docker's schema 1, which clients no longer take"},
		{"schema 1 in disguise", oci, `{"schemaVersion":1,"config":{},"layers":[]}`, "it is of Docker's schema 1, which clients no longer take"},
		{"no manifest's type", "application/octet-stream", `{"schemaVersion":2}`, `its type "application/octet-stream" is no manifest's`},
		{"markup for a type", "text/<script>", `{"schemaVersion":2}`, `its type "text/<script>" is no manifest's`},
		{"a list", oci, `[]`, "it is not a JSON document of a manifest"},
		{"two documents", oci, `{"config":{},"layers":[]}{}`, "it is not a JSON document of a manifest"},
		{"JSON of 10,001 levels", oci, nested(10_001), "it is not a JSON document of a manifest"},
	} {
		for _, how := range []string{"tag", "digest"} {
			t.Run(c.name+" by "+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r, facts := badRig(t)
					hub := r.hubs["hub"]
					d := hub.AddManifest("app", "1", c.mediaType, []byte(c.body))
					path, subject := manifestPath("app", "1"), "app:1"
					if how == "digest" {
						path, subject = manifestPath("app", d.String()), "app@sha256:…"
					}
					r.unavailable(t, r.get(path), subject+" cannot be fetched now: hub: sent a manifest that cannot be used: "+c.says)
					r.noContent(t)
					noFacts(t, facts)
					good := putGood(hub)
					r.pulled(manifestPath("app", "1"), good.Manifest)
					r.pulled(manifestPath("app", good.Digest.String()), good.Manifest)
				})
			})
		}
	}
}

// A web page instead of referrers is what a registry says that has no such API: the
// fallback tag decides, and without one nothing refers to the digest.
func TestWebPageForReferrers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := badRig(t)
		image := putGood(r.hubs["hub"])
		r.hubs["hub"].Fail(upstreamtest.On("GET referrers"), with("text/html", webPage))
		r.pulled("/v2/app/referrers/"+image.Digest.String(), []byte(emptyIndex))
		r.asked("hub", "GET referrers app@"+short(image.Digest), "GET manifest app:sha256-"+image.Digest.Encoded())
	})
}
