package proxy_test

import (
	"testing"
	"testing/synctest"
	"time"
)

// What is held of an upstream that is ill is served as soon as all who are asked before it
// said that they do not have it, whoever it was pulled by.
func TestHeldByOthersBehindNotHere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _, _ := bystanders(t, nil)
		image := r.hubs["b"].AddImage("app", "2", []byte("layer"))
		r.is(r.get(manifestPath("alone/app", "2")), image)
		r.hubs["b"].Stop()
		r.is(r.get(manifestPath("app", "2")), image)
		r.hubs["a"].Stop()
		time.Sleep(day)
		r.is(r.get(manifestPath("app", "2")), image)
	})
}

// Where an origin is pinned to, no other upstream comes before it.
func TestHeldByOthersAtThePinnedOrigin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _, b := bystanders(t, nil)
		first := r.hubs["b"].AddImage("app", "first", []byte("layer"))
		r.is(r.get(manifestPath("pinned/app", "first")), first)
		r.is(r.get(manifestPath("alone/app", "1")), b)
		r.hubs["b"].Stop()
		r.is(r.get(manifestPath("pinned/app", "1")), b)
	})
}
