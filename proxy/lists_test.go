package proxy_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/berth-cache/berth/catalog"
	"github.com/berth-cache/berth/upstream/upstreamtest"
)

// tagged puts n tags into repo and returns them in order.
func tagged(hub *upstreamtest.Registry, repo string, n int) []string {
	image := hub.AddImage(repo, "", []byte("layer"))
	tags := []string{}
	for i := range n {
		tag := fmt.Sprintf("t%04d", i)
		hub.Tag(repo, tag, image.Digest)
		tags = append(tags, tag)
	}
	return tags
}

// ignorant makes hub answer every tag list of repo with all tags, whatever was asked.
func ignorant(hub *upstreamtest.Registry, repo string, tags []string) {
	body, err := json.Marshal(map[string]any{"name": repo, "tags": tags})
	if err != nil {
		panic(err)
	}
	hub.Fail(upstreamtest.On("GET tags"), upstreamtest.Fault{
		Status: 200, Body: body, Header: http.Header{"Content-Type": {"application/json"}},
	})
}

// tagList is an answer's list: its name, its tags and the path of the next page.
type tagList struct {
	Name string
	Tags []string
	next string
}

func tagsOf(r *rig, a answer) tagList {
	r.tb.Helper()
	var l tagList
	check(r.tb, json.Unmarshal(a.body, &l))
	l.next = next(a)
	return l
}

// next is the target of a Link to the next page, empty without one.
func next(a answer) string {
	link, ok := strings.CutSuffix(a.Header.Get("Link"), `>; rel="next"`)
	if !ok {
		return ""
	}
	return strings.TrimPrefix(link, "<")
}

func TestPageOfATagList(t *testing.T) {
	rows := []struct {
		name, path string
		ask        string // the upstream's query
		count      int
		first      string
		next       string // the whole Link target
	}{
		{name: "all", path: "/v2/app/tags/list", ask: "", count: 1500, first: "t0000"},
		{name: "n", path: "/v2/app/tags/list?n=2", ask: "?n=2", count: 2, first: "t0000", next: "/v2/app/tags/list?last=t0001&n=2"},
		{name: "n and last", path: "/v2/app/tags/list?n=2&last=t0009", ask: "?last=t0009&n=2", count: 2, first: "t0010", next: "/v2/app/tags/list?last=t0011&n=2"},
		{name: "last alone", path: "/v2/app/tags/list?last=t1489", ask: "?last=t1489", count: 10, first: "t1490"},
		{name: "last that is no tag of it", path: "/v2/app/tags/list?last=t1489a&n=3", ask: "?last=t1489a&n=3", count: 3, first: "t1490", next: "/v2/app/tags/list?last=t1492&n=3"},
		{name: "the last page", path: "/v2/app/tags/list?n=100&last=t1399", ask: "?last=t1399&n=100", count: 100, first: "t1400"},
		{name: "after the end", path: "/v2/app/tags/list?last=t1499", ask: "?last=t1499", count: 0},
		{name: "n too large", path: "/v2/app/tags/list?n=10000", ask: "?n=1000", count: 1000, first: "t0000", next: "/v2/app/tags/list?last=t0999&n=1000"},
		{name: "n beyond any number", path: "/v2/app/tags/list?n=99999999999999999999999", ask: "?n=1000", count: 1000, first: "t0000", next: "/v2/app/tags/list?last=t0999&n=1000"},
		{name: "none", path: "/v2/app/tags/list?n=0", ask: "?n=1", count: 0},
		{name: "ns", path: "/v2/app/tags/list?n=2&ns=hub.test", ask: "?n=2", count: 2, first: "t0000", next: "/v2/app/tags/list?last=t0001&n=2&ns=hub.test"},
		{name: "upstream's host", path: "/v2/hub.test/app/tags/list?n=2", ask: "?n=2", count: 2, first: "t0000", next: "/v2/hub.test/app/tags/list?last=t0001&n=2"},
		{name: "registry path", path: "/v2/team/x/app/tags/list?n=2", ask: "?n=2", count: 2, first: "t0000", next: "/v2/team/x/app/tags/list?last=t0001&n=2"},
		{name: "registry path before v2", path: "/team/x/v2/app/tags/list?n=2", ask: "?n=2", count: 2, first: "t0000", next: "/team/x/v2/app/tags/list?last=t0001&n=2"},
	}
	r := newRig(t, plan{upstreams: []far{{name: "hub"}}, more: func(u map[string]*catalog.Upstream) []*catalog.Registry {
		return []*catalog.Registry{{Name: "team", Path: "team/x", Upstreams: []*catalog.Upstream{u["hub"]}}}
	}})
	tagged(r.hubs["hub"], "app", 1500)
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r.restart()
			r.hubs["hub"].Reset()
			a := r.get(row.path)
			if a.StatusCode != 200 || a.Header.Get("Content-Type") != "application/json" {
				t.Fatalf("%s, %s\n%s", a.Status, a.Header.Get("Content-Type"), a.body)
			}
			got := tagsOf(r, a)
			path, _, _ := strings.Cut(row.path, "/tags/list")
			if want := strings.TrimPrefix(strings.Replace(path, "/v2", "", 1), "/"); got.Name != want {
				t.Errorf("name %q, want %q", got.Name, want)
			}
			if len(got.Tags) != row.count || row.count > 0 && got.Tags[0] != row.first {
				t.Errorf("%d tags from %q, want %d from %q", len(got.Tags), append(got.Tags, "")[0], row.count, row.first)
			}
			if got.Tags == nil {
				t.Error("tags is null instead of a list")
			}
			if got.next != row.next {
				t.Errorf("next page %q, want %q", got.next, row.next)
			}
			asked := r.hubs["hub"].Requests()
			if len(asked) > 0 && !slices.Equal(asked, []string{"GET tags app" + row.ask}) {
				t.Errorf("upstream was asked %q, want %q", asked, row.ask)
			}
		})
	}
	missing := failed(404, "NAME_UNKNOWN", "not_found", "")
	for _, query := range []string{"", "?n=0", "?n=5"} {
		r.tells(r.get("/v2/missing"+strings.Trim(query, "?n=")+"/app/tags/list"+query), missing)
	}
}

// Following Link from page to page gives every tag once, at every kind of upstream.
func TestPagingGivesEveryTagOnce(t *testing.T) {
	kinds := map[string]func(hub *upstreamtest.Registry, tags []string){
		"as specified":                 func(*upstreamtest.Registry, []string) {},
		"that ignores n and last":      func(hub *upstreamtest.Registry, tags []string) { ignorant(hub, "app", tags) },
		"in an order of its own":       func(hub *upstreamtest.Registry, tags []string) { slices.Reverse(tags); ignorant(hub, "app", tags) },
		"with cursors that are no tag": cursors,
	}
	for name, set := range kinds {
		for _, query := range []string{"", "?n=1", "?n=7", "?n=50", "?n=51", "?n=5000"} {
			t.Run(name+query, func(t *testing.T) {
				r := newRig(t, plan{upstreams: []far{{name: "hub"}}})
				want := tagged(r.hubs["hub"], "app", 50)
				set(r.hubs["hub"], slices.Clone(want))
				var got []string
				pages := 0
				for at := "/v2/app/tags/list" + query; at != ""; pages++ {
					a := r.get(at)
					if a.StatusCode != 200 || pages > 60 {
						t.Fatalf("page %d, %s: %s\n%s", pages, at, a.Status, first(a.body))
					}
					l := tagsOf(r, a)
					got, at = append(got, l.Tags...), l.next
				}
				slices.Sort(got)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("tags (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// cursors makes hub page as ECR does: last is a text of its own that is no tag.
func cursors(hub *upstreamtest.Registry, tags []string) {
	const size = 20
	for i := 0; i < len(tags); i += size {
		body, err := json.Marshal(map[string]any{"name": "app", "tags": tags[i:min(i+size, len(tags))]})
		if err != nil {
			panic(err)
		}
		f := upstreamtest.Fault{Status: 200, Body: body, Header: http.Header{"Content-Type": {"application/json"}}}
		if i+size < len(tags) {
			f.Header.Set("Link", "</v2/app/tags/list?n=20&last="+url.QueryEscape(cursor(i+size))+`>; rel="next"`)
		}
		at := cursor(i)
		hub.Fail(func(q *http.Request) bool { return q.URL.Query().Get("last") == at }, f)
	}
}

func cursor(i int) string {
	if i == 0 {
		return ""
	}
	return fmt.Sprintf("-/+%d==%s", i, strings.Repeat("x", 200))
}

func TestListValidityAndStaleLists(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, plan{upstreams: []far{{name: "hub"}}})
		hub := r.hubs["hub"]
		tagged(hub, "app", 3)
		const path = "/v2/app/tags/list"
		r.tells(r.get(path), told{Status: 200, CacheStatus: "berth; fwd=miss; stored", Age: "0"})
		r.asked("hub", "GET tags app")
		time.Sleep(time.Minute - time.Second)
		r.tells(r.get(path), hit(time.Minute-time.Second))
		r.asked("hub")
		r.get(path + "?n=2")
		r.asked("hub", "GET tags app?n=2")

		hub.Stop()
		time.Sleep(time.Second)
		want := stale(time.Minute, "upstream-unavailable")
		want.Warning = ""
		a := r.get(path)
		r.tells(a, want)
		if l := tagsOf(r, a); len(l.Tags) != 3 {
			t.Errorf("stale list of %d tags", len(l.Tags))
		}
		r.tells(r.get("/v2/other/tags/list"), failed(503, "UNAVAILABLE", "unavailable", "5"))

		hub.Resume()
		time.Sleep(time.Minute)
		r.get(path) // as long as it is down nobody waits for it
		time.Sleep(time.Minute)
		release := make(chan struct{})
		hub.Fail(nil, upstreamtest.Fault{Release: release, StallAfter: -1})
		began := time.Now()
		if a := r.get(path); a.Header.Get("Cache-Status") != "berth; hit; fwd=stale; detail=unconfirmed" || time.Since(began) != 4*time.Second {
			t.Errorf("stalled: %q after %s, want an unconfirmed list after 4s", a.Header.Get("Cache-Status"), time.Since(began))
		}
		close(release)
		hub.Mend()
		hub.RemoveRepository("app")
		time.Sleep(2 * time.Minute)
		r.tells(r.get(path), failed(404, "NAME_UNKNOWN", "not_found", ""))
	})
}

// A list is whole from one upstream: the repository's origin, or who knows it first.
func TestListsAreNeverMerged(t *testing.T) {
	rows := []struct {
		name, origin, without, ill string
		want                       string // whose tags
		status                     int
	}{
		{name: "nobody is the origin", want: "a", status: 200},
		{name: "the first does not know it", without: "a", want: "b", status: 200},
		{name: "the origin is the last", origin: "c", want: "c", status: 200},
		{name: "the origin is ill", origin: "c", ill: "c", status: 503},
		{name: "the first is ill", ill: "a", status: 503},
		{name: "another than the origin is ill", origin: "c", ill: "a", want: "c", status: 200},
		{name: "the origin lost it", origin: "c", without: "c", status: 404},
	}
	for _, row := range rows {
		timeless(t, row.name, func(t *testing.T) {
			r := newRig(t, plan{upstreams: []far{{name: "a"}, {name: "b"}, {name: "c"}}})
			if row.origin != "" {
				r.pulled(manifestPath("app", "1"), r.hubs[row.origin].AddImage("app", "1", []byte("layer")).Manifest)
				time.Sleep(time.Hour)
			}
			for name, hub := range r.hubs {
				hub.AddImage("app", "of-"+name, []byte(name))
				if name == row.without {
					hub.RemoveRepository("app")
				}
				if name == row.ill {
					hub.Stop()
				}
				hub.Reset()
			}
			a := r.get("/v2/app/tags/list")
			if a.StatusCode != row.status {
				t.Fatalf("%s, want %d\n%s", a.Status, row.status, a.body)
			}
			if row.status == 200 {
				if tags := tagsOf(r, a).Tags; !slices.Contains(tags, "of-"+row.want) || strings.Count(strings.Join(tags, " "), "of-") != 1 {
					t.Errorf("tags %q, want those of %s alone", tags, row.want)
				}
			}
			for name, hub := range r.hubs {
				if row.origin != "" && name != row.origin && hub.Count("") > 0 {
					t.Errorf("%s was asked, the origin is %s", name, row.origin)
				}
			}
		})
	}
}
