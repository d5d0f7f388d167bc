package cache_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/berth-cache/berth/cache"
	"github.com/berth-cache/berth/state"
)

// Pages are apart by repository and by every byte of the query, which is a client's own.
func TestListsAreApart(t *testing.T) {
	queries := []string{
		"tags?", "tags?n=5", "tags?n=50", "tags?n=5&last=a", "tags?n=5|last=a", "referrers/sha256:00?",
		"referrers/sha256:00?artifactType=a", "referrers/sha256:00?artifactType=A", "referrers/sha256:00?x=\x00",
		"referrers/sha256:00?x=\xff", "referrers/sha256:00?x=" + strings.Repeat("y", 4096), "referrers/sha256:00?x=" + strings.Repeat("y", 4095),
	}
	s := newState(t)
	x := newIndex(t, s)
	for _, q := range queries {
		x.PutList(alpine, q, cache.List{Body: []byte(q)})
	}
	for _, q := range queries {
		got, err := x.List(alpine, q)
		if err != nil {
			t.Errorf("List(%.40q): %v", q, err)
			continue
		}
		if diff := cmp.Diff(q, string(got.Body)); diff != "" {
			t.Errorf("List(%.40q) (-want +got):\n%s", q, diff)
		}
	}
	for _, r := range []cache.Repository{{Upstream: "bbbb", Name: alpine.Name}, {Upstream: alpine.Upstream, Name: "library"}} {
		if l, err := x.List(r, "tags?"); err == nil {
			t.Errorf("List of %v = %+v", r, l)
		}
	}
	// Who asks can make up as many queries as they like: they must not fill the state.
	kept, err := s.Scan(t.Context(), state.Range{Prefix: "list", Limit: 1})
	if err != nil || len(kept) > 0 {
		t.Errorf("in the state: %v, %v", kept, err)
	}
}

// A list of the largest size that an upstream may send stays in memory.
func TestLargeList(t *testing.T) {
	x := newIndex(t, newState(t))
	body := bytes.Repeat([]byte("x"), 8<<20)
	x.PutList(alpine, "tags?", cache.List{Body: body})
	got, err := x.List(alpine, "tags?")
	if err != nil || !bytes.Equal(got.Body, body) {
		t.Errorf("List of %d bytes: %d bytes, %v", len(body), len(got.Body), err)
	}
}
