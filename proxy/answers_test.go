package proxy_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/berth-cache/berth/upstream/upstreamtest"
)

// What an upstream's HEAD of a tag leads to: nothing more, or a GET.
func TestHeadOfATagUpstream(t *testing.T) {
	const repo = "app"
	head, get := "HEAD manifest app:1", "GET manifest app:1"
	lacking := func(names ...string) upstreamtest.Fault {
		f := upstreamtest.Fault{Header: http.Header{}}
		for _, n := range names {
			f.Header[n] = nil
		}
		return f
	}
	rows := []struct {
		name  string
		fault upstreamtest.Fault // of every HEAD; a GET would work
		// cold is what is asked for a HEAD of a tag that is not known, check what for a
		// GET of one that is held.
		cold, check []string
		status      int
		detail      string // of the check's answer
	}{
		{"complete", upstreamtest.Fault{}, []string{head}, []string{head}, 200, "confirmed"},
		{"without digest, same etag", lacking("Docker-Content-Digest"), []string{head, get}, []string{head}, 200, "confirmed"},
		{"without digest and etag", lacking("Docker-Content-Digest", "Etag"), []string{head, get}, []string{head, get}, 200, "confirmed"},
		{"with a digest nobody knows", upstreamtest.Fault{Digest: "md5:0123"}, []string{head, get}, []string{head}, 200, "confirmed"},
		{"weak etag alone", upstreamtest.Fault{Digest: "-", Header: http.Header{"Etag": {`W/"other"`}}}, []string{head, get}, []string{head, get}, 200, "confirmed"},
		{"without length", lacking("Content-Length"), []string{head, get}, []string{head, get}, 200, "confirmed"},
		{"of length 0", upstreamtest.Fault{Header: http.Header{"Content-Length": {"0"}}}, []string{head, get}, []string{head, get}, 200, "confirmed"},
		{"of no manifest's type", upstreamtest.Fault{MediaType: "text/plain"}, []string{head, get}, []string{head, get}, 200, "confirmed"},
		{"405", refusal(405, "UNSUPPORTED"), []string{head, get}, []string{head, get}, 200, "confirmed"},
		{"401", refusal(401, "UNAUTHORIZED"), []string{head}, []string{head}, 403, "credential-refused"},
		{"403", refusal(403, "DENIED"), []string{head}, []string{head}, 403, "credential-refused"},
		{"403 with a web page", page(403), []string{head}, []string{head}, 503, "upstream-unavailable"},
		{"404", refusal(404, "MANIFEST_UNKNOWN"), []string{head}, []string{head}, 404, ""},
		{"429", refusal(429, "TOOMANYREQUESTS"), []string{head}, []string{head}, 429, "upstream-limited"},
	}
	for _, row := range rows {
		timeless(t, row.name, func(t *testing.T) {
			r := newRig(t, plan{upstreams: []far{{name: "hub"}}})
			hub := r.hubs["hub"]
			image := hub.AddImage(repo, "1", []byte("layer"))
			hub.Fail(upstreamtest.On("HEAD"), row.fault)
			a := r.do("HEAD", manifestPath(repo, "1"))
			r.asked("hub", row.cold...)
			if a.StatusCode != row.status {
				t.Errorf("cold: %s, want %d", a.Status, row.status)
			}
			if a.StatusCode == 200 && (a.ContentLength != int64(len(image.Manifest)) || a.Header.Get("Content-Type") != image.MediaType) {
				t.Errorf("cold: length %d, type %q", a.ContentLength, a.Header.Get("Content-Type"))
			}

			time.Sleep(2 * time.Minute)
			hub.Mend()
			r.pulled(manifestPath(repo, "1"), image.Manifest)
			time.Sleep(day)
			hub.Fail(upstreamtest.On("HEAD"), row.fault)
			hub.Reset()
			a = r.get(manifestPath(repo, "1"))
			r.asked("hub", row.check...)
			switch row.detail {
			case "":
				r.tells(a, failed(404, "MANIFEST_UNKNOWN", "not_found", ""))
			case "confirmed":
				r.tells(a, confirmed())
				r.is(a, image)
			default:
				got := tell(a)
				if want := "berth; hit; fwd=stale; detail=" + row.detail; got.CacheStatus != want {
					t.Errorf("check: Cache-Status %q, want %q", got.CacheStatus, want)
				}
				r.is(a, image)
			}
		})
	}
}

// A tag that moved at a registry whose HEAD gives no digest: the ETag tells, the GET brings.
func TestMoveSeenByETagAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, plan{upstreams: []far{{name: "hub", change: everyTime}}})
		hub := r.hubs["hub"]
		r.pulled(manifestPath("app", "1"), hub.AddImage("app", "1", []byte("old")).Manifest)
		hub.Fail(nil, upstreamtest.Fault{Digest: "-"})
		moved := hub.AddImage("app", "1", []byte("new"))
		hub.Reset()
		a := r.pulled(manifestPath("app", "1"), moved.Manifest)
		r.tells(a, told{Status: 200, CacheStatus: "berth; fwd=stale; stored", Age: "0"})
		r.asked("hub", "HEAD manifest app:1", "GET manifest app:1")
		r.tells(r.pulled(manifestPath("app", "1"), moved.Manifest), confirmed())
		r.asked("hub", "HEAD manifest app:1")
	})
}

// ECR Public refuses the HEAD of a blob that it lets anyone GET.
func TestHeadOfABlobThatIsRefused(t *testing.T) {
	for name, fault := range map[string]upstreamtest.Fault{
		"401": refusal(401, "UNAUTHORIZED"), "403": refusal(403, "DENIED"), "405": refusal(405, "UNSUPPORTED"),
	} {
		timeless(t, name, func(t *testing.T) {
			r := newRig(t, plan{upstreams: []far{{name: "hub"}}})
			hub := r.hubs["hub"]
			hub.Fail(upstreamtest.On("HEAD"), fault)
			content := make([]byte, 1<<20)
			d := hub.AddBlob("app", content)
			a := r.do("HEAD", blobPath("app", d))
			r.tells(a, told{Status: 200, CacheStatus: "berth; fwd=miss; stored", Age: "0"})
			if a.ContentLength != int64(len(content)) {
				t.Errorf("length %d, want %d", a.ContentLength, len(content))
			}
			r.asked("hub", "HEAD blob app@"+short(d), "GET blob app@"+short(d))

			// Its bytes are held by now for one repository; another proves the same way
			// that it has them, and they do not come again.
			r.get(blobPath("app", d))
			hub.AddBlob("copy", content)
			hub.Reset()
			r.tells(r.get(blobPath("copy", d)), hit(0))
			r.asked("hub", "HEAD blob copy@"+short(d), "GET blob copy@"+short(d))
			if got := fetched(r, "blob"); got != float64(len(content)) {
				t.Errorf("%.0f bytes of blobs were fetched, want %d: of the GET that proves, the header is enough", got, len(content))
			}
			if a := r.get(blobPath("without", d)); a.StatusCode == 200 {
				t.Error("a repository that does not exist gives the blob")
			}
		})
	}
}

// fetched is how many bytes of a kind came from upstreams.
func fetched(r *rig, kind string) (total float64) {
	r.tb.Helper()
	families, err := r.metrics.Gather()
	check(r.tb, err)
	for _, f := range families {
		if f.GetName() != "berth_upstream_fetched_bytes_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "kind" && l.GetValue() == kind {
					total += m.GetCounter().GetValue()
				}
			}
		}
	}
	return total
}

// What a header says of a manifest is nothing against its bytes.
func TestManifestAgainstItsHeader(t *testing.T) {
	other := digest.FromString("something else").String()
	refused := failed(503, "UNAVAILABLE", "unavailable", "5")
	rows := []struct {
		name     string
		fault    upstreamtest.Fault
		byTag    told
		byDigest told
	}{
		{"right", upstreamtest.Fault{}, told{Status: 200, CacheStatus: "berth; fwd=miss; stored", Age: "0"}, hit(0)},
		{"no digest", upstreamtest.Fault{Digest: "-"}, told{Status: 200, CacheStatus: "berth; fwd=miss; stored", Age: "0"}, hit(0)},
		{"another digest", upstreamtest.Fault{Digest: other}, refused, told{Status: 200, CacheStatus: "berth; fwd=miss; stored", Age: "0"}},
		{"bytes changed", upstreamtest.Fault{Corrupt: true}, refused, refused},
		{"more announced than sent", upstreamtest.Fault{Length: 4000}, refused, refused},
		{"cut", upstreamtest.Fault{CutAfter: 10}, refused, refused},
		{"no manifest's type", upstreamtest.Fault{MediaType: "application/vnd.docker.distribution.manifest.list.v2+json"}, refused, refused},
		{"encoded", upstreamtest.Fault{Header: http.Header{"Content-Encoding": {"gzip"}}}, refused, refused},
	}
	for _, row := range rows {
		timeless(t, row.name, func(t *testing.T) {
			r := newRig(t, plan{upstreams: []far{{name: "hub"}, {name: "other"}}})
			hub := r.hubs["hub"]
			image := hub.AddImage("app", "1", []byte("layer"))
			r.hubs["other"].AddImage("app", "1", []byte("a stranger's"))
			hub.Fail(nil, row.fault)
			r.tells(r.get(manifestPath("app", "1")), row.byTag)
			r.asked("other")
			r.tells(r.get(manifestPath("app", image.Digest.String())), row.byDigest)
			hub.Mend()
			r.pulled(manifestPath("app", "1"), image.Manifest)
		})
	}
}

// A tag of three platforms moves. Of the new ones only that is fetched ahead which was
// pulled before; where it cannot be had, the tag stays where it was.
func TestMovedIndexOfThreePlatforms(t *testing.T) {
	child := func(f upstreamtest.Fault) *upstreamtest.Fault { return &f }
	rows := []struct {
		name  string
		fault *upstreamtest.Fault // of the pulled platform's new manifest
	}{
		{"all well", nil},
		{"500", child(refusal(500, ""))},
		{"404", child(refusal(404, "MANIFEST_UNKNOWN"))},
		{"429", child(refusal(429, ""))},
		{"cut", child(upstreamtest.Fault{CutAfter: 5})},
		{"bytes changed", child(upstreamtest.Fault{Corrupt: true})},
	}
	for _, row := range rows {
		timeless(t, row.name, func(t *testing.T) {
			r := newRig(t, plan{upstreams: []far{{name: "hub"}}})
			hub := r.hubs["hub"]
			three := func(version string) (index upstreamtest.Image, platforms []upstreamtest.Image) {
				for _, arch := range []string{"amd64", "arm64", "riscv64"} {
					platforms = append(platforms, hub.AddImage("app", "", []byte(version+arch)))
				}
				return hub.AddIndex("app", "1", platforms...), platforms
			}
			old, of := three("old")
			r.pulled(manifestPath("app", "1"), old.Manifest)
			r.pulled(manifestPath("app", of[1].Digest.String()), of[1].Manifest)
			moved, to := three("new")
			time.Sleep(day)
			hub.Reset()
			if row.fault == nil {
				a := r.pulled(manifestPath("app", "1"), moved.Manifest)
				r.tells(a, told{Status: 200, CacheStatus: "berth; fwd=stale; stored", Age: "0"})
				r.asked("hub", "HEAD manifest app:1", "GET manifest app@"+short(moved.Digest), "GET manifest app@"+short(to[1].Digest))
				hub.Stop()
				r.pulled(manifestPath("app", to[1].Digest.String()), to[1].Manifest)
				return
			}
			hub.Fail(upstreamtest.On("GET manifest app@"+short(to[1].Digest)), *row.fault)
			for _, method := range []string{"GET", "HEAD"} {
				a := r.do(method, manifestPath("app", "1"))
				if got := a.Header.Get("Warning"); a.StatusCode != 200 || got == "" {
					t.Errorf("%s: %s, Warning %q; want the old index with a warning", method, a.Status, got)
				}
				r.is(a, old)
			}
			if n := hub.Count("GET manifest app@"+short(to[0].Digest)) + hub.Count("GET manifest app@"+short(to[2].Digest)); n != 0 {
				t.Errorf("%d requests for platforms that nobody pulled", n)
			}
			hub.Mend()
			time.Sleep(time.Minute)
			r.is(r.get(manifestPath("app", "1")), moved)
		})
	}
}
