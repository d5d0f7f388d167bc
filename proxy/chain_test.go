package proxy_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/berth-cache/berth/catalog"
	"github.com/berth-cache/berth/proxy"
	"github.com/berth-cache/berth/upstream/upstreamtest"
)

// TestManyBerthsBeforeOne: what comes through different Berths is asked upstream once, and
// once more for all who come through none.
func TestManyBerthsBeforeOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, plan{upstreams: []far{{name: "hub", change: everyTime}}})
		image := r.hubs["hub"].AddImage("app", "1", []byte("layer"))
		release := make(chan struct{})
		r.hubs["hub"].Fail(nil, upstreamtest.Fault{Release: release, StallAfter: -1})
		var done sync.WaitGroup
		for i := range 100 {
			done.Go(func() {
				var header []string
				if i%2 == 0 {
					header = []string{"CDN-Loop", proxy.NewInstance()}
				}
				r.is(r.do("GET", manifestPath("app", "1"), header...), image)
			})
		}
		synctest.Wait()
		close(release)
		done.Wait()
		r.asked("hub", "GET manifest app:1", "GET manifest app:1")
	})
}

// TestChain: of what a client says that it came through, the Berths alone are passed on,
// unless they are too many.
func TestChain(t *testing.T) {
	r := newRig(t, plan{upstreams: []far{{name: "hub", change: func(u *catalog.Upstream) { u.Validity = 0 }}}})
	image := r.hubs["hub"].AddImage("app", "1")
	ids := make([]string, 5)
	for i := range ids {
		ids[i] = proxy.NewInstance()
	}
	for name, row := range map[string]struct {
		came   []string // lines of the header
		passed []string
		says   string // if it is refused
	}{
		"nothing":      {},
		"one":          {ids[:1], ids[:1], ""},
		"four":         {[]string{strings.Join(ids[:4], ",")}, ids[:4], ""},
		"five":         {[]string{strings.Join(ids, ", ")}, nil, "the request came through 5 Berths, and 5 may stand one behind another"},
		"two lines":    {[]string{ids[0], ids[1]}, ids[:2], ""},
		"others":       {[]string{"cloudflare; loops=1, " + ids[0] + ";trace=a , Fastly"}, ids[:1], ""},
		"no Berths":    {[]string{"berth, berth-0, berth-0123456789ABCDEF, berth-0123456789abcdef0, berth-0123456789abcde\u00e9,,;,"}, nil, ""},
		"more in all":  {[]string{strings.Repeat("x", 500), strings.Repeat("y", 600)}, nil, "CDN-Loop is longer than that of any request that gets somewhere"},
		"ourselves":    {[]string{ids[0] + ", " + r.instance}, nil, `this Berth asks itself: take the upstream at \"berth.test\" out of its configuration`},
		"through us":   {[]string{r.instance + ", " + strings.Join(ids[:2], ", ")}, nil, "this Berth has asked already, and was led back to itself by 2 more: take out of the configuration of the last one the upstream at"},
		"long, and us": {[]string{strings.Join(ids, ", ") + ", " + r.instance}, nil, "this Berth asks itself"},
	} {
		t.Run(name, func(t *testing.T) {
			r.hubs["hub"].Reset()
			var header []string
			for _, line := range row.came {
				header = append(header, "CDN-Loop", line)
			}
			a := r.do("GET", manifestPath("app", "1"), header...)
			records := r.hubs["hub"].Records()
			if row.says != "" {
				r.tells(a, told{Status: 508, Code: "UNSUPPORTED", CacheStatus: "berth; detail=loop"})
				if !strings.Contains(string(a.body), row.says) || len(records) > 0 {
					t.Errorf("%d requests, says %s", len(records), a.body)
				}
				return
			}
			r.is(a, image)
			want := []string{strings.Join(append(slices.Clone(row.passed), r.instance), ", ")}
			if len(records) != 1 || !slices.Equal(records[0].Header["Cdn-Loop"], want) {
				t.Errorf("passed on %v, want %s", records, want)
			}
		})
	}
}

// TestChainOfAnAlarm: the other upstreams that are asked because a tag is pinned are told, too.
func TestChainOfAnAlarm(t *testing.T) {
	r := newRig(t, plan{
		upstreams: []far{{name: "hub"}, {name: "other"}},
		registry:  func(reg *catalog.Registry) { reg.PinOrigin = true },
	})
	r.hubs["hub"].AddImage("app", "1")
	r.hubs["other"].AddImage("app", "2")
	if a := r.get(manifestPath("app", "1")); a.StatusCode != 200 {
		t.Fatal(a.Status)
	}
	came := proxy.NewInstance()
	r.tells(r.do("GET", manifestPath("app", "2"), "CDN-Loop", came), failed(404, "MANIFEST_UNKNOWN", "not_found", ""))
	records := r.hubs["other"].Records()
	if len(records) != 1 || records[0].Header.Get("CDN-Loop") != came+", "+r.instance {
		t.Errorf("asked %v", records)
	}
}
