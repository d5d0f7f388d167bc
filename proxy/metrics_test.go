package proxy_test

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/berth-cache/berth/upstream/upstreamtest"
)

// values are all metrics by name{label=value,...}, labels in their order; of a histogram
// its count.
func (r *rig) values() map[string]float64 {
	r.tb.Helper()
	families, err := r.metrics.Gather()
	check(r.tb, err)
	values := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			name := family.GetName()
			if labels != nil {
				name += "{" + strings.Join(labels, ",") + "}"
			}
			switch {
			case m.GetCounter() != nil:
				values[name] = m.GetCounter().GetValue()
			case m.GetGauge() != nil:
				values[name] = m.GetGauge().GetValue()
			default:
				values[name] = float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return values
}

// requests is the name of a count of requests to the registry "default".
func requests(upstream, kind, outcome string) string {
	return "berth_requests_total{kind=" + kind + ",outcome=" + outcome + ",registry=default,upstream=" + upstream + "}"
}

// served is the name of the count of bytes sent of a kind.
func served(kind string) string {
	return "berth_served_bytes_total{kind=" + kind + ",registry=default,upstream=hub}"
}

// breaks is a GET that breaks after its header because of what the upstream hub sends.
func (r *rig) breaks(path string, f upstreamtest.Fault) {
	r.tb.Helper()
	release := make(chan struct{})
	f.Release, f.StallAfter = release, 100
	r.hubs["hub"].Fail(upstreamtest.On("GET blob"), f)
	var err error
	var done sync.WaitGroup
	done.Go(func() { _, err = r.bodyOf(path) })
	synctest.Wait()
	close(release)
	if done.Wait(); err == nil {
		r.tb.Errorf("GET %s did not break", path)
	}
	synctest.Wait()
}

func TestMetricsOfAKnownSequence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, plan{upstreams: []far{{name: "hub"}}})
		hub := r.hubs["hub"]
		layer, bad := noise(1, 10_000), noise(2, 5_000)
		image := hub.AddImage("app", "1", layer)
		wrong := hub.AddBlob("app", bad)
		size := float64(len(image.Manifest))

		r.do("HEAD", manifestPath("app", "1"))
		r.pulled(manifestPath("app", "1"), image.Manifest)
		r.pulled(manifestPath("app", "1"), image.Manifest)
		r.pulled(manifestPath("app", image.Digest.String()), image.Manifest)
		r.pulled(blobPath("app", image.Layers[0]), layer)
		r.pulled(blobPath("app", image.Layers[0]), layer)
		r.do("GET", blobPath("app", image.Layers[0]), "Range", "bytes=0-99")
		r.do("HEAD", blobPath("app", image.Layers[0]))
		refused := r.do("GET", blobPath("app", image.Layers[0]), "Range", "bytes=10000-")
		missing := r.get(manifestPath("app", "2"))
		r.breaks(blobPath("app", wrong), upstreamtest.Fault{Times: 1, Corrupt: true})
		hub.Fail(upstreamtest.On("GET blob"), upstreamtest.Fault{Times: 1, CutAfter: 1_000})
		r.pulled(blobPath("app", wrong), bad)
		synctest.Wait()

		want := map[string]float64{
			requests("hub", "manifest", "miss"):   2,
			requests("hub", "manifest", "hit"):    2,
			requests("", "manifest", "not_found"): 1,
			requests("hub", "blob", "miss"):       2,
			requests("hub", "blob", "hit"):        4,
			requests("hub", "blob", "broken"):     1,

			served("manifest"): 3 * size,
			served("blob"):     2*10_000 + 100 + 4_999 + 5_000 + float64(len(refused.body)),
			"berth_served_bytes_total{kind=manifest,registry=default,upstream=}": float64(len(missing.body)),

			"berth_upstream_fetched_bytes_total{kind=manifest,upstream=hub}": size,
			"berth_upstream_fetched_bytes_total{kind=blob,upstream=hub}":     10_000 + 5_000 + 5_000,

			"berth_upstream_request_duration_seconds{kind=manifest,status=200,upstream=hub}": 2,
			"berth_upstream_request_duration_seconds{kind=manifest,status=404,upstream=hub}": 1,
			"berth_upstream_request_duration_seconds{kind=blob,status=200,upstream=hub}":     3,
			"berth_upstream_request_duration_seconds{kind=blob,status=206,upstream=hub}":     1,

			"berth_fills_running":                        0,
			"berth_fills_started_total":                  3,
			"berth_fills_joined_total":                   0,
			"berth_fills_resumed_total":                  1,
			"berth_fills_failed_total{reason=abandoned}": 0,
			"berth_fills_failed_total{reason=digest}":    1,
			"berth_fills_failed_total{reason=length}":    0,
			"berth_fills_failed_total{reason=source}":    0,
			"berth_fills_failed_total{reason=store}":     0,
			"berth_content_bytes":                        size + 10_000 + 5_000,
			"berth_content_objects":                      3,
		}
		// Whatever else is exported, these families are as here and no others.
		got := map[string]float64{}
		for name, v := range r.values() {
			for _, family := range []string{"berth_requests_", "berth_served_", "berth_upstream_fetched_", "berth_upstream_request_", "berth_fills_", "berth_content_"} {
				if strings.HasPrefix(name, family) {
					got[name] = v
				}
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("metrics (-want +got):\n%s", diff)
		}
	})
}

func TestFillsRunningAndJoined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, plan{upstreams: []far{{name: "hub"}}})
		d := r.hubs["hub"].AddBlob("app", noise(1, 10_000))
		release := make(chan struct{})
		r.hubs["hub"].Fail(upstreamtest.On("GET blob"), upstreamtest.Fault{Release: release, StallAfter: 5_000})
		var done sync.WaitGroup
		for range 3 {
			done.Go(func() { r.wantBody(blobPath("app", d), noise(1, 10_000)) })
			synctest.Wait()
		}
		during := r.values()
		close(release)
		done.Wait()
		synctest.Wait()
		after := r.values()
		for name, want := range map[string][2]float64{
			"berth_fills_running":             {1, 0},
			"berth_fills_joined_total":        {2, 2},
			"berth_content_objects":           {0, 1},
			requests("hub", "blob", "miss"):   {0, 1},
			requests("hub", "blob", "joined"): {0, 2},
		} {
			if got := [2]float64{during[name], after[name]}; got != want {
				t.Errorf("%s was %v during and after, want %v", name, got, want)
			}
		}
	})
}

func TestWhatClientsMakeUpIsNoLabel(t *testing.T) {
	r := newRig(t, plan{upstreams: []far{{name: "hub"}}})
	nonsense := func(seed string) {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "MADE" + strings.ToUpper(seed)} {
			for _, path := range []string{
				"/v2/" + seed + "/manifests/1", "/v2/a/manifests/" + seed, "/v2/a/blobs/sha256:" + seed, "/v2/A" + seed + "/manifests/1",
				"/v2/a/blobs/" + digest.FromString(seed).String(), "/v2/a/" + seed + "/1", "/" + seed, "/v2/a/tags/list?n=" + seed,
				"/v2/" + seed + ".test/a/manifests/1", "/v2/a/manifests/1?ns=" + seed + ".test", "/" + seed + "/v2/", "/v2/a/referrers/" + digest.FromString(seed).String(),
			} {
				r.do(method, path, "User-Agent", seed, "Range", seed, "Accept", seed)
			}
		}
	}
	nonsense("one")
	series := len(r.values())
	for _, seed := range []string{"two", "three", "four"} {
		nonsense(seed)
	}
	after := r.values()
	if len(after) != series {
		t.Errorf("%d series after one kind of nonsense, %d after four", series, len(after))
	}
	for name := range after {
		for _, seed := range []string{"one", "two", "three", "four", "MADE"} {
			if strings.Contains(name, "="+seed) {
				t.Errorf("made up by a client: %s", name)
			}
		}
	}
}
