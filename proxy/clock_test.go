package proxy_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/berth-cache/berth/catalog"
	"github.com/berth-cache/berth/upstream/upstreamtest"
)

// shift moves all times in the facts, as if they had been written by a clock that was so
// far ahead.
func (s *sickState) shift(t *testing.T, by time.Duration) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	moved := 0
	for key, raw := range s.entries {
		var fact map[string]any
		check(t, json.Unmarshal(raw, &fact))
		for _, field := range []string{"checked", "used"} {
			if text, ok := fact[field].(string); ok {
				at, err := time.Parse(time.RFC3339Nano, text)
				check(t, err)
				fact[field] = at.Add(by).Format(time.RFC3339Nano)
				moved++
			}
		}
		raw, err := json.Marshal(fact)
		check(t, err)
		s.entries[key] = raw
	}
	if moved < 3 {
		t.Fatalf("%d times were moved", moved)
	}
}

// A clock that was set between two runs: what was checked in the future is checked again,
// nothing is fresh for longer than its validity, nothing gets stuck, no Age is negative.
func TestClockSetWhileStopped(t *testing.T) {
	again := []string{"HEAD manifest app:1"}
	for _, row := range []struct {
		name     string
		ahead    time.Duration
		validity time.Duration
		first    []string // asked of the upstream, which is well
		stale    bool     // served when the upstream is down instead
		age      string
	}{
		{"right", 0, time.Hour, nil, true, "0"},
		{"a little ahead, as another replica's may be", 30 * time.Second, time.Hour, nil, true, "0"},
		{"a day ahead, set back", day, time.Hour, again, true, "0"},
		{"a year ahead, set back", 365 * day, time.Hour, again, true, "0"},
		{"a year ahead, set back, valid for ever", 365 * day, catalog.Forever, nil, true, "0"},
		{"a day behind, put right", -day, time.Hour, again, true, seconds(day)},
		{"a year behind, put right", -365 * day, time.Hour, again, false, ""},
	} {
		for _, ill := range []bool{false, true} {
			name := row.name
			if ill {
				name += ", upstream down"
			}
			timeless(t, name, func(t *testing.T) {
				facts := &sickState{}
				r := newRig(t, plan{state: facts, upstreams: []far{{name: "hub", change: func(u *catalog.Upstream) { u.Validity = row.validity }}}})
				hub := r.hubs["hub"]
				image := hub.AddImage("app", "1", []byte("layer"))
				r.pulled(manifestPath("app", "1"), image.Manifest)
				facts.shift(t, row.ahead)
				r.restart()
				hub.Reset()
				if ill {
					hub.Stop()
					a := r.get(manifestPath("app", "1"))
					if got := a.StatusCode == 200; got != row.stale || got && a.Header.Get("Age") != row.age {
						t.Errorf("%s, Age %q; want it served %t, Age %q", a.Status, a.Header.Get("Age"), row.stale, row.age)
					}
					return
				}
				r.pulled(manifestPath("app", "1"), image.Manifest)
				r.asked("hub", row.first...)
				a := r.pulled(manifestPath("app", "1"), image.Manifest) // checked, or still fresh
				r.asked("hub")
				if a.Header.Get("Age") != "0" {
					t.Errorf("Age %q after a check", a.Header.Get("Age"))
				}
				if row.validity == catalog.Forever {
					return
				}
				time.Sleep(row.validity + time.Minute)
				r.pulled(manifestPath("app", "1"), image.Manifest)
				r.asked("hub", again...)
			})
		}
	}
}

// A date in Retry-After counts from the date of its answer, not from a clock of ours that
// may be wrong.
func TestRetryAfterByAnotherClock(t *testing.T) {
	timeless(t, "ten minutes", func(t *testing.T) {
		r := newRig(t, plan{upstreams: []far{{name: "hub"}}})
		r.hubs["hub"].AddImage("app", "1", []byte("layer"))
		fault := waitFor(refusal(429, "TOOMANYREQUESTS"), "Sun, 06 Nov 1994 08:59:37 GMT")
		fault.Header.Set("Date", "Sun, 06 Nov 1994 08:49:37 GMT")
		r.hubs["hub"].Fail(upstreamtest.On("GET manifest"), fault)
		a := r.get(manifestPath("app", "1"))
		if a.StatusCode != 429 || a.Header.Get("Retry-After") != "600" {
			t.Errorf("%s, Retry-After %q\n%s", a.Status, a.Header.Get("Retry-After"), strings.TrimSpace(string(a.body)))
		}
	})
}
