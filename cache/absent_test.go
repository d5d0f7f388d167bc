package cache_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// What the state does not have is not asked for again at once: each request for a tag of
// the fourth upstream would ask for three facts in vain. It is asked for a second later,
// since other processes write there, too.
func TestUnknownFactsAreNotAskedForAllTheTime(t *testing.T) {
	for _, f := range facts() {
		t.Run(f.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSick()
				x := newIndex(t, s)
				wantGets := func(n int) {
					t.Helper()
					want := make([]string, 0, n)
					for range n {
						want = append(want, "get")
					}
					if diff := cmp.Diff(want, s.asked()); diff != "" {
						t.Errorf("calls (-want +got):\n%s", diff)
					}
				}
				for range 10 {
					f.unknown(t, x)
				}
				wantGets(1)
				other := newIndex(t, s)
				f.put(t.Context(), other)
				s.asked()
				time.Sleep(time.Second - 1)
				f.unknown(t, x)
				wantGets(0)
				time.Sleep(time.Nanosecond)
				f.holds(t, x)
				wantGets(1)
				f.holds(t, x)
				wantGets(0)
			})
		})
		t.Run(f.name+" that is written", func(t *testing.T) {
			x := newIndex(t, newSick())
			f.unknown(t, x)
			f.put(t.Context(), x)
			f.holds(t, x)
		})
	}
}

// A state that fails says nothing about a fact: it is asked again by the next.
func TestTroubleIsNotAbsence(t *testing.T) {
	for _, f := range facts() {
		t.Run(f.name, func(t *testing.T) {
			s := newSick()
			f.put(t.Context(), newIndex(t, s))
			x := newIndex(t, s)
			s.fault = every(false, errState, "get")
			f.unknown(t, x)
			s.fault = nil
			f.holds(t, x)
		})
	}
}
