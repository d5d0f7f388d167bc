package soak_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/berth-cache/berth/e2e/soak/load"
	"github.com/berth-cache/berth/e2e/soak/truth"
)

const (
	// killMaxSize and killMaxBytes are the same: small, so that eviction runs all the time.
	killMaxSize  = "48MiB"
	killMaxBytes = 48 << 20
	// startWithin is generous: the machine may be busy, and a start replays a little.
	startWithin = 20 * time.Second
)

// TestKill kills a Berth that fetches and evicts, at random moments, and starts it again on
// its data. What it had committed is there, whole, and nothing else is.
func TestKill(t *testing.T) {
	w := newWorld(t, truth.Size{Repositories: 1, Images: 2, HugeBytes: 4 << 20}, killMaxSize)
	for name, u := range w.config.Upstreams {
		u.Validity = "24h" // so that what is held is nobody else's matter
		w.config.Upstreams[name] = u
	}
	w.Write(t, w.config)
	k := kept{world: w}
	kills := of(4, 200)
	var slowest time.Duration
	var swept, kept int
	for range kills {
		w.Start(t)
		slowest = max(slowest, w.Started)
		kept += k.verify(t)
		k.torment(t)
		swept += w.Staging(t)
	}
	w.Start(t)
	kept += k.verify(t)
	w.wantNoneBad(t)
	m := w.Metrics(t)
	t.Logf("%d kills; slowest start %s; %d images committed; %d looked for after a kill, lost 0; %d unfinished files swept; held at the end %.0f objects of %.0f bytes\n%s",
		kills, slowest.Round(time.Millisecond), len(k.images), kept, swept, m["berth_content_objects"], m["berth_content_bytes"], w.Tally)
	if slowest > startWithin {
		t.Errorf("a start took %s", slowest)
	}
}

// held is an image of which every part was seen on the disk, under its final name.
type held struct {
	truth.Place
	truth.Image
	// asked is how many bytes had been asked for when it was pulled.
	asked int64
}

// kept are the images that a Berth had committed before it was killed.
type kept struct {
	*world
	// mu guards images, the latest last.
	mu     sync.Mutex
	images []held
}

// torment has clients pull new images and old ones until Berth is killed under them.
func (k *kept) torment(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var workers sync.WaitGroup
	for range 4 {
		random := rand.New(rand.NewPCG(k.random.Uint64(), 0))
		workers.Go(func() {
			for ctx.Err() == nil {
				k.pullNew(ctx, random)
			}
		})
	}
	other := load.Phase{Seed: k.random.Uint64(), Operations: 1 << 20, Workers: 2, Trouble: true}
	workers.Go(func() { k.Run(ctx, other) })
	// The moment is what is tried here.
	moment := time.NewTimer(time.Duration(k.random.IntN(500)) * time.Millisecond)
	<-moment.C
	k.Kill(t)
	cancel()
	workers.Wait()
	k.HangUp()
}

// pullNew pulls an image that nobody has, and notes it once all of it is on the disk.
func (k *kept) pullNew(ctx context.Context, random *rand.Rand) {
	p, image := k.library.Cold(random)
	asked := k.Asked()
	if ending, _ := k.Pull(ctx, p, "v0", image); ending != load.Right {
		return
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !k.holds(image) {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.images = append(k.images, held{p, image, asked})
}

func (k *kept) holds(image truth.Image) bool {
	for _, b := range image.Blobs {
		if !k.Held(b.Digest) {
			return false
		}
	}
	return k.Held(image.Digest)
}

// verify looks at a Berth that was just started: what it reports is what lies there, and
// is right; what was pulled last, which nothing could have evicted, is served with every
// upstream stopped; what was pulled earlier is served right or not at all. It returns how
// many images had to be there.
func (k *kept) verify(t *testing.T) int {
	t.Helper()
	k.wantTreeAsReported(t)
	start := k.stop(t)
	defer start()
	asked, must := k.Asked(), 0
	for i := len(k.images) - 1; i >= 0; i-- {
		h := k.images[i]
		// Half: the least recently used go first, and this was used later than all but what
		// was asked for since.
		if asked-h.asked < killMaxBytes/2 {
			must++
			if ending, detail := k.Pull(t.Context(), h.Place, "v0", h.Image); ending != load.Right {
				t.Errorf("committed and lost: %s: %s", ending, detail)
			}
			continue
		}
		if k.random.IntN(len(k.images)) > 0 {
			continue // one will do: each that is gone has upstreams tried again and again
		}
		ending, detail := k.Pull(t.Context(), h.Place, "v0", h.Image)
		if ending == load.Wrong {
			t.Errorf("an earlier image: %s", detail)
		}
	}
	return must
}
