package cache_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/berth-cache/berth/cache"
	"github.com/berth-cache/berth/state"
)

const day = 24 * time.Hour

// A link is of one upstream, one repository, one kind and one digest: none of them opens
// another's.
func TestLinksAreApart(t *testing.T) {
	x := newIndex(t, newState(t))
	x.PutLink(t.Context(), alpine, cache.Blob, content, cache.Link{Size: 7})
	for _, c := range []struct {
		name       string
		repository cache.Repository
		kind       cache.Kind
		digest     digest.Digest
	}{
		{"another upstream", cache.Repository{Upstream: "aaab", Name: alpine.Name}, cache.Blob, content},
		{"another repository", cache.Repository{Upstream: alpine.Upstream, Name: "library/alpin"}, cache.Blob, content},
		{"a repository below", cache.Repository{Upstream: alpine.Upstream, Name: alpine.Name + "/x"}, cache.Blob, content},
		{"another kind", alpine, cache.Manifest, content},
		{"another digest", alpine, cache.Blob, digest.FromString("other")},
		{"another algorithm", alpine, cache.Blob, digest.SHA512.FromString("content")},
	} {
		t.Run(c.name, func(t *testing.T) {
			if l, err := x.Link(t.Context(), c.repository, c.kind, c.digest); err == nil {
				t.Errorf("Link = %+v", l)
			}
		})
	}
}

// A link in use is written once a day, so that 90 days without use end it.
func TestLinkIsRefreshedAfterADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSick()
		x := newIndex(t, s)
		x.PutLink(t.Context(), alpine, cache.Blob, content, cache.Link{Size: 7})
		used := time.Now()
		s.asked()
		for _, step := range []struct {
			after     time.Duration
			refreshed bool
		}{{0, false}, {day, false}, {1, true}, {day, false}, {40 * day, true}, {time.Hour, false}} {
			time.Sleep(step.after)
			l, err := x.Link(t.Context(), alpine, cache.Blob, content)
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			if step.refreshed {
				want, used = []string{"put"}, time.Now()
			}
			if diff := cmp.Diff(want, s.asked(), emptyIsNil); diff != "" {
				t.Errorf("calls %s later (-want +got):\n%s", step.after, diff)
			}
			if diff := cmp.Diff(cache.Link{Size: 7, Used: used}, l); diff != "" {
				t.Errorf("Link %s later (-want +got):\n%s", step.after, diff)
			}
		}
		time.Sleep(2 * day)
		if _, err := newIndex(t, s).Link(t.Context(), alpine, cache.Blob, content); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff([]string{"get", "put"}, s.asked()); diff != "" {
			t.Errorf("calls of a first use after a restart (-want +got):\n%s", diff)
		}
	})
}

// A use that was noted by a clock that was ahead does not keep a link from being refreshed.
func TestLinkUsedInTheFuture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSick()
		newIndex(t, s).PutLink(t.Context(), alpine, cache.Blob, content, cache.Link{Size: 7})
		for k, raw := range s.entries {
			s.entries[k] = []byte(strings.ReplaceAll(string(raw), `"2000-`, `"2099-`))
		}
		x := newIndex(t, s)
		s.asked()
		for _, want := range [][]string{{"get", "put"}, {}} {
			l, err := x.Link(t.Context(), alpine, cache.Blob, content)
			if err != nil || !l.Used.Equal(time.Now()) {
				t.Errorf("used %s, %v", l.Used, err)
			}
			if diff := cmp.Diff(want, s.asked(), emptyIsNil); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
		}
	})
}

// Recording what is recorded costs nothing; what has changed is written.
func TestPutLinkAgain(t *testing.T) {
	s := newSick()
	x := newIndex(t, s)
	put := func(l cache.Link, want ...string) {
		t.Helper()
		s.asked()
		x.PutLink(t.Context(), alpine, cache.Manifest, content, l)
		if diff := cmp.Diff(want, s.asked(), emptyIsNil); diff != "" {
			t.Errorf("calls of PutLink(%+v) (-want +got):\n%s", l, diff)
		}
		got, err := x.Link(t.Context(), alpine, cache.Manifest, content)
		if err != nil || got.MediaType != l.MediaType || got.Size != l.Size {
			t.Errorf("Link = %+v, %v after PutLink(%+v)", got, err, l)
		}
	}
	put(cache.Link{MediaType: "a/b", Size: -1}, "get", "put")
	put(cache.Link{MediaType: "a/b", Size: -1})
	put(cache.Link{MediaType: "a/b", Size: 7}, "put")
	put(cache.Link{MediaType: "a/c", Size: 7}, "put")
	put(cache.Link{MediaType: "a/c", Size: 7})
}

// A tag that is valid for ever is asked of nobody, and an origin is hardly ever written:
// their use alone has to keep them.
func TestFactsInUseAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSick()
		x := newIndex(t, s)
		want := cache.Pointer{Digest: content, Checked: checked}
		x.PutPointer(t.Context(), alpine, "3", want)
		x.PutOrigin(t.Context(), "default", "library/alpine", "aaaa")
		s.asked()
		use := func(asked ...string) {
			t.Helper()
			p, err := x.Pointer(t.Context(), alpine, "3")
			if err != nil || p.Digest != want.Digest || !p.Checked.Equal(want.Checked) {
				t.Errorf("Pointer = %+v, %v", p, err)
			}
			if o, err := x.Origin(t.Context(), "default", "library/alpine"); err != nil || o != "aaaa" {
				t.Errorf("Origin = %q, %v", o, err)
			}
			synctest.Wait()
			got := s.asked()
			slices.Sort(got)
			if diff := cmp.Diff(asked, got, emptyIsNil); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
		}
		use()
		time.Sleep(day + 1)
		use("get", "get", "swap", "swap")
		use()
		time.Sleep(day + 1)
		s.fault = func(context.Context, string, string) (bool, error) { return false, state.ErrUnavailable }
		use("get", "get") // and no harm done
	})
}

// How long the state is asked to keep each kind of fact.
func TestExpiry(t *testing.T) {
	s := newSick()
	x := newIndex(t, s)
	for _, f := range facts() {
		f.put(t.Context(), x)
	}
	want := map[string]time.Duration{"link": 90 * day, "pointer": 90 * day, "origin": 90 * day}
	if diff := cmp.Diff(want, s.keeps()); diff != "" {
		t.Errorf("kept for (-want +got):\n%s", diff)
	}
}
