package pull

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/berth-cache/berth/catalog"
	"github.com/berth-cache/berth/upstream"
)

// A limit is on the client that met it. One that was made anew may have another account.
func TestLimitsAreOfOneClient(t *testing.T) {
	get := upstream.Request{Method: "GET", Kind: upstream.KindManifest}
	for limit, left := range map[upstream.Limit]func(*limits, *catalog.Upstream) time.Duration{
		upstream.RequestLimit: (*limits).left,
		upstream.PullLimit:    func(l *limits, u *catalog.Upstream) time.Duration { return l.pull(u, get) },
	} {
		synctest.Test(t, func(t *testing.T) {
			l := newLimits()
			before := &catalog.Upstream{ID: "aaaa", Epoch: 1}
			after := &catalog.Upstream{ID: "aaaa", Epoch: 2}
			l.learn(before, limit, time.Hour)
			if got := left(l, after); got != 0 {
				t.Errorf("%v: another client is to wait for %s", limit, got)
			}
			l.learn(after, limit, time.Minute)
			time.Sleep(time.Minute)
			if was, is := left(l, before), left(l, after); was != 59*time.Minute || is > 0 {
				t.Errorf("%v: %s and %s left, want 59m and none", limit, was, is)
			}
			l.learn(before, limit, time.Hour)
			if got := len(l.until) + len(l.pulls); got != 1 {
				t.Errorf("%v: %d are remembered, want 1", limit, got)
			}
		})
	}
}
