package proxy_test

import (
	"testing"
	"time"

	"github.com/berth-cache/berth/catalog"
	"github.com/berth-cache/berth/upstream"
)

// Nobody who pulls what is held waits for the rate of its upstream.
func TestHeldDoesNotQueue(t *testing.T) {
	timeless(t, "rate", func(t *testing.T) {
		r := newRig(t, plan{upstreams: []far{{
			name: "hub", change: func(u *catalog.Upstream) { u.Validity = time.Minute },
			client: func(cfg *upstream.Config) { cfg.Rate = upstream.Rate{Requests: 1, Per: time.Second} },
		}}})
		image := r.hubs["hub"].AddImage("app", "1", []byte("layer"))
		for _, tag := range []string{"2", "3", "4", "5"} {
			r.hubs["hub"].Tag("app", tag, image.Digest)
		}
		tags := []string{"1", "2", "3", "4", "5"}
		for _, tag := range tags {
			r.pulled(manifestPath("app", tag), image.Manifest)
		}
		time.Sleep(time.Hour)
		began := time.Now()
		for _, tag := range tags {
			r.pulled(manifestPath("app", tag), image.Manifest)
		}
		if took := time.Since(began); took > 4*25*time.Millisecond {
			t.Errorf("held tags were served after %s in all", took)
		}
		time.Sleep(10 * time.Second)
		r.hubs["hub"].Reset()
		for _, tag := range tags {
			r.pulled(manifestPath("app", tag), image.Manifest)
		}
		r.asked("hub") // they have been confirmed behind
	})
}
