package proxy_test

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berth-cache/berth/catalog"
	"github.com/berth-cache/berth/upstream/upstreamtest"
)

const day = 24 * time.Hour

// timeless runs f in a bubble, beside others that mostly wait for the disk.
func timeless(t *testing.T, name string, f func(t *testing.T)) {
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, f)
	})
}

// seconds is an age as headers give it.
func seconds(d time.Duration) string { return strconv.Itoa(int(d / time.Second)) }

func hit(age time.Duration) told {
	return told{Status: 200, CacheStatus: "berth; hit", Age: seconds(age)}
}

func confirmed() told {
	return told{Status: 200, CacheStatus: "berth; hit; fwd=stale; detail=confirmed", Age: "0"}
}

func stale(age time.Duration, detail string) told {
	return told{
		Status: 200, CacheStatus: "berth; hit; fwd=stale; detail=" + detail, Age: seconds(age),
		Warning: warning(seconds(age), detail),
	}
}

func failed(status int, code, outcome, retryAfter string) told {
	return told{Status: status, Code: code, CacheStatus: "berth; fwd=miss; detail=" + outcome, RetryAfter: retryAfter}
}

func TestValidityOfATag(t *testing.T) {
	signature := "sha256-" + strings.Repeat("ab", 32) + ".sig"
	forever := func(u *catalog.Upstream) { u.Validity = catalog.Forever }
	rows := []struct {
		name, tag string
		change    func(*catalog.Upstream)
		// fresh is the longest age that needs no check, negative if every pull does.
		fresh time.Duration
		// checked is when one is made; zero if never.
		checked time.Duration
	}{
		{name: "a day", tag: "1", change: func(*catalog.Upstream) {}, fresh: day - time.Second, checked: day},
		{name: "ten minutes", tag: "1", change: func(u *catalog.Upstream) { u.Validity = 10 * time.Minute }, fresh: 10*time.Minute - time.Second, checked: 10 * time.Minute},
		{name: "none", tag: "1", change: everyTime, fresh: -1, checked: time.Nanosecond},
		{name: "for ever", tag: "1", change: forever, fresh: 80 * day},
		{name: "a signature's", tag: signature, change: forever, fresh: time.Minute - time.Second, checked: time.Minute},
		{name: "an attestation's", tag: strings.TrimSuffix(signature, "sig") + "att", change: forever, fresh: time.Minute - time.Second, checked: time.Minute},
		{name: "the fallback tag's of referrers", tag: strings.TrimSuffix(signature, ".sig"), change: forever, fresh: time.Minute - time.Second, checked: time.Minute},
	}
	for _, row := range rows {
		timeless(t, row.name, func(t *testing.T) {
			r := newRig(t, plan{upstreams: []far{{name: "hub", change: row.change}}})
			image := r.hubs["hub"].AddImage("app", row.tag, []byte("layer"))
			r.pulled(manifestPath("app", row.tag), image.Manifest)
			r.hubs["hub"].Reset()
			if row.fresh > 0 {
				time.Sleep(row.fresh)
				for _, method := range []string{"GET", "HEAD"} {
					r.tells(r.do(method, manifestPath("app", row.tag)), hit(row.fresh))
				}
				r.asked("hub")
			}
			if row.checked == 0 {
				return
			}
			time.Sleep(row.checked - max(0, row.fresh))
			r.tells(r.get(manifestPath("app", row.tag)), confirmed())
			r.asked("hub", "HEAD manifest app:"+row.tag)
			if row.fresh > 0 { // a check makes it fresh again
				time.Sleep(row.fresh)
				r.tells(r.get(manifestPath("app", row.tag)), hit(row.fresh))
				r.asked("hub")
			}
		})
	}
}

func TestNegativeValidity(t *testing.T) {
	rows := []struct {
		name, method string
		fault        upstreamtest.Fault
		// tag and repository: what is not asked for again within a minute.
		tag, repository bool
	}{
		{name: "repository", method: "GET", fault: refusal(404, "NAME_UNKNOWN"), tag: true, repository: true},
		{name: "tag", method: "GET", fault: refusal(404, "MANIFEST_UNKNOWN"), tag: true},
		{name: "no code", method: "GET", fault: upstreamtest.Fault{Status: 404}, tag: true},
		{name: "a HEAD tells no code", method: "HEAD", fault: refusal(404, "NAME_UNKNOWN"), tag: true},
		{name: "web page", method: "GET", fault: page(404)},
		{name: "ill", method: "GET", fault: page(403)},
	}
	for _, row := range rows {
		timeless(t, row.name, func(t *testing.T) {
			r := newRig(t, plan{upstreams: []far{{name: "hub"}}})
			hub := r.hubs["hub"]
			hub.Fail(nil, row.fault)
			asks := func(path string, want bool) {
				t.Helper()
				hub.Reset()
				a := r.do(row.method, path)
				if a.StatusCode == http.StatusOK {
					t.Errorf("%s: %s", path, a.Status)
				}
				if got := hub.Count("") > 0; got != want {
					t.Errorf("%s asked upstream: %t, want %t", path, got, want)
				}
			}
			asks(manifestPath("app", "1"), true)
			time.Sleep(time.Minute - time.Second)
			asks(manifestPath("app", "1"), !row.tag)
			asks(manifestPath("app", "2"), !row.repository)
			asks(blobPath("app", upstreamtest.Image{}.Digest+"sha256:"+zeros), !row.repository)
			asks(manifestPath("other", "1"), true)
			time.Sleep(time.Second)
			asks(manifestPath("app", "1"), true)
		})
	}
}

const zeros = "0000000000000000000000000000000000000000000000000000000000000000"

func TestLimitIsKeptPerUpstreamUntilItsEnd(t *testing.T) {
	rows := []struct {
		name  string
		fault upstreamtest.Fault
		wait  time.Duration
	}{
		{name: "without Retry-After", fault: refusal(429, "TOOMANYREQUESTS"), wait: time.Minute},
		{name: "with seconds", fault: waitFor(refusal(429, "TOOMANYREQUESTS"), "3600"), wait: time.Hour},
		{name: "with a date", fault: waitFor(refusal(429, "TOOMANYREQUESTS"), "Sat, 01 Jan 2000 00:10:00 GMT"), wait: 10 * time.Minute},
	}
	for _, row := range rows {
		timeless(t, row.name, func(t *testing.T) {
			r := newRig(t, plan{upstreams: []far{{name: "hub"}, {name: "other"}}})
			hub, other := r.hubs["hub"], r.hubs["other"]
			row.fault.Times = 1
			hub.Fail(nil, row.fault)
			image := hub.AddImage("app", "1", []byte("layer"))
			theirs := other.AddImage("app", "1", []byte("a stranger's"))
			r.tells(r.get(manifestPath("app", "1")), failed(429, "TOOMANYREQUESTS", "limited", seconds(row.wait)))
			r.asked("hub", "GET manifest app:1")

			time.Sleep(row.wait - 10*time.Second)
			r.tells(r.get(manifestPath("app", "1")), failed(429, "TOOMANYREQUESTS", "limited", "10"))
			r.tells(r.do("HEAD", manifestPath("another/app", "1")), failed(429, "", "limited", "10"))
			r.asked("hub")
			r.asked("other")
			r.pulled(manifestPath("app", "1")+"?ns=other.test", theirs.Manifest)
			r.pulled(manifestPath("app", theirs.Digest.String()), theirs.Manifest)
			r.asked("hub")

			time.Sleep(10 * time.Second)
			r.pulled(manifestPath("app", "1")+"?ns=hub.test", image.Manifest)
			r.asked("hub", "GET manifest app:1")
		})
	}
}

func TestHowLongACopyIsServedStale(t *testing.T) {
	down := func(hub *upstreamtest.Registry) { hub.Stop() }
	refuse := func(hub *upstreamtest.Registry) { hub.Fail(nil, upstreamtest.Fault{Status: 401}) }
	limit := func(hub *upstreamtest.Registry) { hub.Fail(nil, waitFor(refusal(429, ""), "1")) }
	rows := []struct {
		name   string
		change func(*catalog.Upstream)
		ill    func(hub *upstreamtest.Registry)
		bound  time.Duration // zero is without end
		detail string
		after  told
	}{
		{"down", nil, down, 30 * day, "upstream-unavailable", failed(503, "UNAVAILABLE", "unavailable", "5")},
		{"limited", nil, limit, 30 * day, "upstream-limited", failed(429, "TOOMANYREQUESTS", "limited", "1")},
		{"refused", nil, refuse, day, "credential-refused", failed(502, "UNAVAILABLE", "refused", "")},
		{"down, of its own bound", func(u *catalog.Upstream) { u.MaxStale = day }, down, day, "upstream-unavailable", failed(503, "UNAVAILABLE", "unavailable", "5")},
		{"refused, of its own bound", func(u *catalog.Upstream) { u.MaxStaleRefused = 2 * day }, refuse, 2 * day, "credential-refused", failed(502, "UNAVAILABLE", "refused", "")},
		{"down, without end", func(u *catalog.Upstream) { u.MaxStale = catalog.Forever }, down, 0, "upstream-unavailable", told{}},
	}
	for _, row := range rows {
		timeless(t, row.name, func(t *testing.T) {
			r := newRig(t, plan{upstreams: []far{{name: "hub", change: func(u *catalog.Upstream) {
				u.Validity = time.Hour
				if row.change != nil {
					row.change(u)
				}
			}}}})
			hub := r.hubs["hub"]
			image := hub.AddImage("app", "1", []byte("layer"))
			r.pulled(manifestPath("app", "1"), image.Manifest)
			time.Sleep(20 * day)
			r.tells(r.get(manifestPath("app", "1")), confirmed()) // from here on it counts
			checked := time.Now()
			row.ill(hub)
			if row.bound == 0 {
				time.Sleep(60 * day)
				r.tells(r.get(manifestPath("app", "1")), stale(60*day, row.detail))
				return
			}
			// What comes to nothing is tried again, which takes a part of this second.
			time.Sleep(row.bound - time.Second)
			a := r.get(manifestPath("app", "1"))
			r.tells(a, stale(row.bound-time.Second, row.detail))
			r.is(a, image)
			time.Sleep(time.Until(checked.Add(row.bound + time.Second)))
			r.tells(r.get(manifestPath("app", "1")), row.after)
			hub.Mend()
			hub.Resume()
			time.Sleep(time.Minute)
			r.tells(r.get(manifestPath("app", "1")), confirmed())
		})
	}
}

func TestDeletedTag(t *testing.T) {
	keep := func(u *catalog.Upstream) { u.KeepDeleted = true }
	gone := failed(404, "MANIFEST_UNKNOWN", "not_found", "")
	rows := []struct {
		name   string
		change func(*catalog.Upstream)
		remove func(r *rig)
		want   told
		later  told // an hour after, with the upstream down
	}{
		{"tag", nil, func(r *rig) { r.hubs["hub"].RemoveTag("app", "1") }, gone, failed(503, "UNAVAILABLE", "unavailable", "5")},
		{"repository", nil, func(r *rig) { r.hubs["hub"].RemoveRepository("app") }, gone, failed(503, "UNAVAILABLE", "unavailable", "5")},
		{"tag, kept", keep, func(r *rig) { r.hubs["hub"].RemoveTag("app", "1") }, stale(0, "deleted-upstream"), hit(time.Hour)},
		{"repository, kept", keep, func(r *rig) { r.hubs["hub"].RemoveRepository("app") }, stale(0, "deleted-upstream"), hit(time.Hour)},
		{"repository that another tag missed before, kept", keep, func(r *rig) {
			r.hubs["hub"].RemoveRepository("app")
			r.tells(r.get(manifestPath("app", "2")), failed(404, "NAME_UNKNOWN", "not_found", ""))
		}, stale(0, "deleted-upstream"), hit(time.Hour)},
	}
	for _, row := range rows {
		timeless(t, row.name, func(t *testing.T) {
			r := newRig(t, plan{upstreams: []far{{name: "hub", change: row.change}}})
			image := r.hubs["hub"].AddImage("app", "1", []byte("layer"))
			r.pulled(manifestPath("app", "1"), image.Manifest)
			time.Sleep(day)
			row.remove(r)
			r.hubs["hub"].Reset()
			r.tells(r.get(manifestPath("app", "1")), row.want)
			time.Sleep(time.Hour)
			r.hubs["hub"].Stop()
			r.tells(r.get(manifestPath("app", "1")), row.later)
		})
	}
}

// The tag's own upstream says that it is gone, and who is next cannot be asked: what is
// held is no answer, neither now nor at the next pull.
func TestDeletedTagIsNotServedBecauseTheNextUpstreamIsIll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, plan{upstreams: []far{{name: "hub"}, {name: "other"}}})
		image := r.hubs["hub"].AddImage("app", "1", []byte("layer"))
		r.pulled(manifestPath("app", "1"), image.Manifest)
		time.Sleep(day)
		r.hubs["hub"].RemoveTag("app", "1")
		r.hubs["other"].Stop()
		for range 2 {
			r.tells(r.get(manifestPath("app", "1")), failed(503, "UNAVAILABLE", "unavailable", "5"))
		}
	})
}

func TestCheckGoesOnBehindTheCopy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, plan{upstreams: []far{{name: "hub"}}})
		hub := r.hubs["hub"]
		old := hub.AddImage("app", "1", []byte("old"))
		r.pulled(manifestPath("app", "1"), old.Manifest)
		moved := hub.AddImage("app", "1", []byte("new"))
		time.Sleep(day)
		release := make(chan struct{})
		hub.Fail(upstreamtest.On("HEAD"), upstreamtest.Fault{Release: release, StallAfter: -1, Times: 1})
		hub.Reset()
		began := time.Now()
		var all sync.WaitGroup
		// The bound is the check's, not the client's: who comes later waits less.
		for came, waits := range map[time.Duration]time.Duration{0: 4 * time.Second, 3 * time.Second: time.Second, 5 * time.Second: 0} {
			all.Go(func() {
				time.Sleep(came)
				a := r.get(manifestPath("app", "1"))
				r.tells(a, stale(day+came+waits, "unconfirmed"))
				r.is(a, old)
				if waited := time.Since(began) - came; waited != waits {
					t.Errorf("the client that came after %s waited %s, want %s", came, waited, waits)
				}
			})
		}
		all.Wait()
		time.Sleep(time.Until(began.Add(10 * time.Second)))
		close(release)
		synctest.Wait()
		r.asked("hub", "HEAD manifest app:1", "GET manifest app@"+short(moved.Digest))
		time.Sleep(time.Minute)
		a := r.get(manifestPath("app", "1"))
		r.tells(a, hit(time.Minute))
		r.is(a, moved)
		r.asked("hub")
	})
}

// Too old to be served stale: then there is nothing to give after four seconds.
func TestCheckOfACopyTooOldIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, plan{upstreams: []far{{name: "hub", change: func(u *catalog.Upstream) { u.MaxStale = 2 * day }}}})
		image := r.hubs["hub"].AddImage("app", "1", []byte("layer"))
		r.pulled(manifestPath("app", "1"), image.Manifest)
		time.Sleep(3 * day)
		release := make(chan struct{})
		r.hubs["hub"].Fail(nil, upstreamtest.Fault{Release: release, StallAfter: -1})
		time.AfterFunc(20*time.Second, func() { close(release) })
		r.tells(r.get(manifestPath("app", "1")), confirmed())
	})
}

func TestFiftyChecksAreOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, plan{upstreams: []far{{name: "hub"}}})
		hub := r.hubs["hub"]
		image := hub.AddImage("app", "1", []byte("layer"))
		r.pulled(manifestPath("app", "1"), image.Manifest)
		time.Sleep(day)
		hub.Reset()
		release := make(chan struct{})
		hub.Fail(nil, upstreamtest.Fault{Release: release, StallAfter: -1})
		var all sync.WaitGroup
		for i := range 50 {
			all.Go(func() {
				a := r.do([]string{"GET", "HEAD"}[i%2], manifestPath("app", "1"))
				r.tells(a, confirmed())
				r.is(a, image)
			})
		}
		synctest.Wait() // all fifty wait
		close(release)
		all.Wait()
		r.asked("hub", "HEAD manifest app:1")
	})
}
