package load_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/berth-cache/berth/e2e/soak/load"
	"github.com/berth-cache/berth/e2e/soak/origin"
	"github.com/berth-cache/berth/e2e/soak/truth"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newLoad is a load on an upstream itself, which answers as Berth should as long as it has
// no faults, and as Berth must not when it has.
func newLoad(t *testing.T) (*load.Load, *origin.Origin, *truth.Library) {
	t.Helper()
	l := truth.NewLibrary(1, truth.Size{Repositories: 2, Images: 3, HugeBytes: 1 << 20}, "a")
	o := origin.New(t, "a", l, origin.Options{})
	clients := load.New("http://"+o.Addr, l)
	t.Cleanup(clients.HangUp)
	return clients, o, l
}

func TestWhatIsNotRightIsSeen(t *testing.T) {
	for fault, want := range map[origin.Fault]load.Ending{
		"":              load.Right,
		origin.Delay:    load.Right,
		origin.Corrupt:  load.Wrong,
		origin.Short:    load.Wrong,
		origin.Portal:   load.Wrong,
		origin.Internal: load.Wrong, // Berth never says 500
		origin.Long:     load.Cut,
		origin.Cut:      load.Cut,
		origin.Early:    load.Cut,
		origin.Ill:      load.Refused,
		origin.Limited:  load.Refused,
	} {
		t.Run(string(fault), func(t *testing.T) {
			clients, o, l := newLoad(t)
			o.Storm(origin.Mood{fault: 1})
			if got, detail := clients.Blob(t.Context(), l.Home, l.Huge.Blobs[1]); got != want {
				t.Errorf("blob: %s, %s; want %s", got, detail, want)
			}
			if got, detail := clients.Pull(t.Context(), l.Home, "v0", l.Huge); got != want {
				t.Errorf("pull: %s, %s; want %s", got, detail, want)
			}
			o.Calm()
			if blobs, _ := clients.Settle(t.Context()); (blobs > 0) != (want != load.Right) {
				t.Errorf("%d blobs had to be settled", blobs)
			}
		})
	}
}

func TestAStormIsNoLossAndCalmIs(t *testing.T) {
	for _, trouble := range []bool{true, false} {
		clients, o, _ := newLoad(t)
		o.Storm(origin.Mood{origin.Ill: 1})
		clients.Run(t.Context(), load.Phase{Seed: 1, Operations: 200, Workers: 4, Trouble: trouble})
		wrong, lost, complaints := clients.Tally.Bad()
		if n := clients.Tally.Operations(); n != 200 || wrong > 0 || (lost > 0) == trouble || (len(complaints) > 0) == trouble {
			t.Errorf("trouble %v: %d operations, %d wrong, %d lost, told %q", trouble, n, wrong, lost, complaints)
		}
	}
}
