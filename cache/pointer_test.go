package cache_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/berth-cache/berth/cache"
)

var emptyIsNil = cmpopts.EquateEmpty()

func TestPointersAreApart(t *testing.T) {
	x := newIndex(t, newState(t))
	x.PutPointer(t.Context(), alpine, "3", cache.Pointer{Digest: content})
	for _, c := range []struct {
		name       string
		repository cache.Repository
		tag        string
	}{
		{"another upstream", cache.Repository{Upstream: "bbbb", Name: alpine.Name}, "3"},
		{"another repository", cache.Repository{Upstream: alpine.Upstream, Name: "library"}, "3"},
		{"another tag", alpine, "3.2"},
		{"another case", cache.Repository{Upstream: alpine.Upstream, Name: "Library/alpine"}, "3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if p, err := x.Pointer(t.Context(), c.repository, c.tag); err == nil {
				t.Errorf("Pointer = %+v", p)
			}
		})
	}
}

func TestPointerMoves(t *testing.T) {
	s := newState(t)
	x := newIndex(t, s)
	for _, tag := range []string{"one", "two", "one"} {
		want := cache.Pointer{Digest: content, ETag: tag, Checked: checked}
		x.PutPointer(t.Context(), alpine, "3", want)
		for _, index := range []*cache.Index{x, newIndex(t, s)} {
			got, err := index.Pointer(t.Context(), alpine, "3")
			if err != nil {
				t.Fatal(err)
			}
			if got.Used.IsZero() {
				t.Error("nobody can tell when it was used")
			}
			got.Used = want.Used
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		}
	}
}

// A repository is known by any link or pointer of it, and by nothing else.
func TestKnown(t *testing.T) {
	other := func(upstream, name string) cache.Repository { return cache.Repository{Upstream: upstream, Name: name} }
	for _, c := range []struct {
		name string
		put  func(ctx context.Context, x *cache.Index)
		want bool
	}{
		{"nothing", func(context.Context, *cache.Index) {}, false},
		{"a pointer", func(ctx context.Context, x *cache.Index) { x.PutPointer(ctx, alpine, "3", cache.Pointer{}) }, true},
		{"a manifest", func(ctx context.Context, x *cache.Index) {
			x.PutLink(ctx, alpine, cache.Manifest, content, cache.Link{})
		}, true},
		{"a blob", func(ctx context.Context, x *cache.Index) { x.PutLink(ctx, alpine, cache.Blob, content, cache.Link{}) }, true},
		{"a list proves nothing", func(_ context.Context, x *cache.Index) { x.PutList(alpine, "tags?", cache.List{}) }, false},
		{"an origin proves nothing", func(ctx context.Context, x *cache.Index) { x.PutOrigin(ctx, "default", alpine.Name, alpine.Upstream) }, false},
		{"another upstream's", func(ctx context.Context, x *cache.Index) {
			x.PutPointer(ctx, other("bbbb", alpine.Name), "3", cache.Pointer{})
		}, false},
		{"a repository below", func(ctx context.Context, x *cache.Index) {
			x.PutPointer(ctx, other("aaaa", alpine.Name+"/sub"), "3", cache.Pointer{})
		}, false},
		{"a longer name", func(ctx context.Context, x *cache.Index) {
			x.PutLink(ctx, other("aaaa", alpine.Name+"2"), cache.Blob, content, cache.Link{})
		}, false},
		{"a repository above", func(ctx context.Context, x *cache.Index) {
			x.PutPointer(ctx, other("aaaa", "library"), "3", cache.Pointer{})
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newState(t)
			x := newIndex(t, s)
			c.put(t.Context(), x)
			if got := x.Known(t.Context(), alpine); got != c.want {
				t.Errorf("Known = %t, want %t", got, c.want)
			}
			if got := newIndex(t, s).Known(t.Context(), alpine); got != c.want {
				t.Errorf("Known after a restart = %t, want %t", got, c.want)
			}
		})
	}
}

// Once known, a repository stays so without the state, and when its only tag is dropped:
// it answered once.
func TestKnownIsRemembered(t *testing.T) {
	s := newSick()
	x := newIndex(t, s)
	x.PutPointer(t.Context(), alpine, "3", cache.Pointer{})
	for _, index := range []*cache.Index{x, newIndex(t, s)} {
		if !index.Known(t.Context(), alpine) {
			t.Error("not known")
		}
		s.fault = every(false, errState, "get", "scan", "put", "delete")
		s.asked()
		if !index.Known(t.Context(), alpine) {
			t.Error("not known while the state fails")
		}
		if calls := s.asked(); len(calls) > 0 {
			t.Errorf("asked the state again: %q", calls)
		}
		index.DropPointer(t.Context(), alpine, "3")
		if !index.Known(t.Context(), alpine) {
			t.Error("not known after its tag was dropped")
		}
		s.fault = nil
	}
	s.fault = every(false, errState, "scan")
	if newIndex(t, s).Known(t.Context(), alpine) {
		t.Error("known by nobody and still true")
	}
}

// An origin is of a registry's repository, and written only when it changes.
func TestOrigin(t *testing.T) {
	s := newSick()
	x := newIndex(t, s)
	put := func(registry, repository, upstream string, want ...string) {
		t.Helper()
		s.asked()
		x.PutOrigin(t.Context(), registry, repository, upstream)
		if diff := cmp.Diff(want, s.asked(), emptyIsNil); diff != "" {
			t.Errorf("calls of PutOrigin(%q, %q, %q) (-want +got):\n%s", registry, repository, upstream, diff)
		}
	}
	put("default", "alpine", "aaaa", "get", "put")
	put("default", "alpine", "aaaa")
	put("team", "alpine", "bbbb", "get", "put")
	put("default", "alpine", "cccc", "put")
	for _, index := range []*cache.Index{x, newIndex(t, s)} {
		for registry, want := range map[string]string{"default": "cccc", "team": "bbbb"} {
			if got, err := index.Origin(t.Context(), registry, "alpine"); err != nil || got != want {
				t.Errorf("Origin(%s) = %q, %v, want %q", registry, got, err, want)
			}
		}
		if got, err := index.Origin(t.Context(), "default", "alpine/x"); err == nil {
			t.Errorf("Origin of another repository = %q", got)
		}
	}
}
