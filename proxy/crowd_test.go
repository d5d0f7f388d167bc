package proxy_test

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/berth-cache/berth/upstream/upstreamtest"
)

// askedSorted is asked for requests whose order is nobody's promise.
func (r *rig) askedSorted(name string, want ...string) {
	r.tb.Helper()
	got := r.hubs[name].Requests()
	r.hubs[name].Reset()
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got, emptyIsNil); diff != "" {
		r.tb.Errorf("requests at %s, sorted (-want +got):\n%s", name, diff)
	}
}

// crowd runs f for n clients at once and waits for them.
func crowd(n int, f func(i int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { f(i) })
	}
	all.Wait()
}

// letGo runs f, and closes release when all that it began waits for that or is through.
// It returns when everything has come to rest.
func letGo(release chan struct{}, f func()) {
	var done sync.WaitGroup
	done.Go(f)
	synctest.Wait()
	close(release)
	done.Wait()
	synctest.Wait()
}

// sizeOf is how many bytes an image's manifest and blobs have together.
func sizeOf(manifest []byte, blobs ...[]byte) (total float64) {
	for _, b := range append(blobs, manifest) {
		total += float64(len(b))
	}
	return total
}

func TestCrowdOnAColdImageIsOneFillADigest(t *testing.T) {
	layers := [][]byte{noise(1, 60_000), noise(2, 20_000), noise(3, 10)}
	for _, held := range []bool{true, false} {
		t.Run(fmt.Sprintf("layers held back until all have come: %v", held), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, plan{upstreams: []far{{name: "hub"}}})
				hub := r.hubs["hub"]
				image := hub.AddImage("library/app", "1", layers...)
				release := make(chan struct{})
				if held {
					hub.Fail(upstreamtest.On("GET blob"), upstreamtest.Fault{Release: release, StallAfter: 5})
				}
				letGo(release, func() { crowd(100, func(int) { r.pullsAtOnce("library/app", "1", image) }) })

				const repo = "library/app"
				want := []string{"HEAD manifest " + repo + ":1", "GET manifest " + repo + "@" + short(image.Digest)}
				for _, d := range append(image.Layers, image.Config) {
					want = append(want, "GET blob "+repo+"@"+short(d))
				}
				r.askedSorted("hub", want...)
				synctest.Wait() // commits are done
				config, err := r.bodyOf(blobPath(repo, image.Config))
				check(t, err)
				m := r.values()
				wantBytes := sizeOf(config, layers...)
				for name, want := range map[string]float64{
					"berth_upstream_fetched_bytes_total{kind=blob,upstream=hub}":     wantBytes,
					"berth_upstream_fetched_bytes_total{kind=manifest,upstream=hub}": float64(len(image.Manifest)),
					"berth_fills_started_total":                                      4,
					"berth_fills_running":                                            0,
					"berth_content_objects":                                          5,
					"berth_content_bytes":                                            wantBytes + float64(len(image.Manifest)),
				} {
					if m[name] != want {
						t.Errorf("%s is %v, want %v", name, m[name], want)
					}
				}
			})
		})
	}
}

// pullsAtOnce pulls an image as docker does: its blobs all at once.
func (r *rig) pullsAtOnce(repo, tag string, image upstreamtest.Image) {
	if a := r.do("HEAD", manifestPath(repo, tag)); a.Header.Get("Docker-Content-Digest") != image.Digest.String() {
		r.tb.Errorf("HEAD: %s, digest %q", a.Status, a.Header.Get("Docker-Content-Digest"))
	}
	r.wantBody(manifestPath(repo, image.Digest.String()), image.Manifest)
	blobs := append(image.Layers[:len(image.Layers):len(image.Layers)], image.Config)
	crowd(len(blobs), func(i int) {
		body, err := r.bodyOf(blobPath(repo, blobs[i]))
		if err != nil || blobs[i].Algorithm().FromBytes(body) != blobs[i] {
			r.tb.Errorf("blob %d: %d bytes, %v", i, len(body), err)
		}
	})
}

func TestCrowdIsOneMissAndOtherwiseJoined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, plan{upstreams: []far{{name: "hub"}}})
		hub := r.hubs["hub"]
		layer := noise(1, 40_000)
		d := hub.AddBlob("app", layer)
		release := make(chan struct{})
		hub.Fail(upstreamtest.On("GET blob"), upstreamtest.Fault{Release: release, StallAfter: -1})
		letGo(release, func() { crowd(50, func(int) { r.wantBody(blobPath("app", d), layer) }) })
		r.asked("hub", "GET blob app@"+short(d))
		m := r.values()
		if miss, joined := m[requests("hub", "blob", "miss")], m[requests("hub", "blob", "joined")]; miss != 1 || joined != 49 {
			t.Errorf("%v missed and %v joined, want 1 and 49", miss, joined)
		}
	})
}

func TestCrowdOnATagOfWhichOnlyTheDigestIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, plan{upstreams: []far{{name: "hub"}}})
		image := r.hubs["hub"].AddImage("app", "1", noise(1, 10))
		r.do("HEAD", manifestPath("app", "1"))
		r.asked("hub", "HEAD manifest app:1")
		crowd(50, func(int) { r.wantBody(manifestPath("app", "1"), image.Manifest) })
		r.asked("hub", "GET manifest app@"+short(image.Digest))
	})
}

func TestSecondRepositoryIsConfirmedAndJoinsTheFill(t *testing.T) {
	for name, second := range map[string]struct {
		refuseHead bool
		want       []string
	}{
		"by HEAD":                      {want: []string{"HEAD"}},
		"by GET where HEAD is refused": {refuseHead: true, want: []string{"HEAD", "GET"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, plan{upstreams: []far{{name: "hub"}}})
				hub := r.hubs["hub"]
				layer := noise(1, 40_000)
				d := hub.AddBlob("one/app", layer)
				hub.AddBlob("two/app", layer)
				hub.RefuseHead(second.refuseHead)
				release := make(chan struct{})
				hub.Fail(upstreamtest.On("GET blob one/app"), upstreamtest.Fault{Release: release, StallAfter: 20_000})
				var done sync.WaitGroup
				both := func(repo string) {
					done.Go(func() {
						crowd(50, func(int) { r.wantBody(blobPath(repo, d), layer) })
					})
				}
				both("one/app")
				synctest.Wait()
				r.asked("hub", "GET blob one/app@"+short(d))
				both("two/app")
				synctest.Wait()
				var want []string
				for _, method := range second.want {
					want = append(want, method+" blob two/app@"+short(d))
				}
				r.asked("hub", want...)
				if n := r.values()["berth_fills_started_total"]; n != 1 {
					t.Errorf("%v fills of one digest", n)
				}
				close(release)
				done.Wait()
				r.asked("hub")
			})
		})
	}
}

// A fill that breaks off for good where it began goes on where somebody else who wants the
// blob has it from: one upstream's end is not that of another's images.
func TestFillGoesOnWhereOthersHaveItFrom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, plan{upstreams: []far{{name: "a"}, {name: "b"}}})
		layer := noise(1, 40_000)
		d := r.hubs["a"].AddBlob("app", layer)
		r.hubs["b"].AddBlob("app", layer)
		r.hubs["a"].Fail(upstreamtest.On("GET blob app"), upstreamtest.Fault{Release: make(chan struct{}), StallAfter: 20_000})
		var done sync.WaitGroup
		for _, host := range []string{"a.test", "b.test"} {
			done.Go(func() { crowd(5, func(int) { r.wantBody(blobPath(host+"/app", d), layer) }) })
			synctest.Wait()
		}
		r.asked("b", "HEAD blob app@"+short(d))
		r.hubs["a"].Stop()
		done.Wait()
		r.asked("b", "GET blob app@"+short(d)+" bytes=20000-")
	})
}

func TestRepositoryWithoutTheLayerDoesNotJoinItsFill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, plan{upstreams: []far{{name: "hub"}}})
		hub := r.hubs["hub"]
		layer := noise(1, 40_000)
		d := hub.AddBlob("private/app", layer)
		hub.AddBlob("public/app", []byte("something else"))
		release := make(chan struct{})
		hub.Fail(upstreamtest.On("GET blob private/app"), upstreamtest.Fault{Release: release, StallAfter: 20_000})
		var done sync.WaitGroup
		done.Go(func() { r.wantBody(blobPath("private/app", d), layer) })
		synctest.Wait()
		hub.Reset()
		for _, method := range []string{"GET", "HEAD"} {
			if a := r.do(method, blobPath("public/app", d)); a.StatusCode != http.StatusNotFound {
				t.Errorf("%s through a repository that lacks it: %s, want 404", method, a.Status)
			}
		}
		r.asked("hub", "HEAD blob public/app@"+short(d), "HEAD blob public/app@"+short(d))
		close(release)
		done.Wait()
	})
}
