package proxy_test

import (
	"testing"
	"testing/synctest"

	"github.com/berth-cache/berth/cache/store"
)

// roomRig makes a rig whose disk may hold so many bytes.
func roomRig(t *testing.T, maxBytes int64) *rig {
	return newRig(t, plan{
		upstreams: []far{{name: "hub"}},
		store: func(s store.Store) store.Store {
			s.(*store.Disk).Limit(store.Limits{MaxBytes: maxBytes})
			return s
		},
	})
}

// What was evicted is fetched again, by those who ask for it and for them alone.
func TestEvictedContentIsFetchedAgain(t *testing.T) {
	timeless(t, "rig", func(t *testing.T) {
		r := roomRig(t, 1_000_000)
		hub := r.hubs["hub"]
		first, second := noise(1, 600_000), noise(2, 600_000)
		old, young := hub.AddImage("app", "1", first), hub.AddImage("app", "2", second)
		r.pulled(manifestPath("app", "1"), old.Manifest)
		r.pulled(blobPath("app", old.Layers[0]), first)
		r.pulled(manifestPath("app", "2"), young.Manifest)
		r.pulled(blobPath("app", young.Layers[0]), second)
		synctest.Wait()
		if a := r.pulled(blobPath("app", young.Layers[0]), second); a.Header.Get("Cache-Status") != "berth; hit" {
			t.Errorf("what came last: %s", a.Header.Get("Cache-Status"))
		}
		if a := r.pulled(blobPath("app", old.Layers[0]), first); a.Header.Get("Cache-Status") != "berth; fwd=miss; stored" {
			t.Errorf("what was evicted: %s", a.Header.Get("Cache-Status"))
		}
		synctest.Wait()
		hub.Stop()
		r.pulled(manifestPath("app", "1"), old.Manifest)
		r.pulled(blobPath("app", old.Layers[0]), first)
	})
}

// What is larger than the whole cache is passed through, and nothing is evicted for it.
func TestContentLargerThanTheCache(t *testing.T) {
	timeless(t, "rig", func(t *testing.T) {
		r := roomRig(t, 400_000)
		hub := r.hubs["hub"]
		small, large := noise(1, 300_000), noise(2, 500_000)
		image := hub.AddImage("app", "1", small, large)
		r.pulled(manifestPath("app", "1"), image.Manifest)
		r.pulled(blobPath("app", image.Layers[0]), small)
		for range 2 {
			if a := r.pulled(blobPath("app", image.Layers[1]), large); a.Header.Get("Cache-Status") != unstored {
				t.Errorf("the large layer: %s", a.Header.Get("Cache-Status"))
			}
		}
		if n := r.values()["berth_unstored_pulls_total{reason=too_large}"]; n != 2 {
			t.Errorf("%v unstored pulls are counted as of content that is too large", n)
		}
		synctest.Wait()
		hub.Stop()
		r.pulled(manifestPath("app", "1"), image.Manifest)
		r.pulled(blobPath("app", image.Layers[0]), small)
	})
}
