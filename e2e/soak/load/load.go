package load

import (
	"context"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/opencontainers/go-digest"

	"github.com/berth-cache/berth/e2e/soak/truth"
)

// Load is the clients of one Berth.
type Load struct {
	// base is Berth's URL.
	base    string
	library *truth.Library
	client  *http.Client
	Tally   *Tally
	// asked is the size of all blobs that were asked for so far, however often.
	asked atomic.Int64

	// mu guards unsure.
	mu sync.Mutex
	// unsure are blobs that a client did not get whole: Berth may have part of them.
	unsure map[digest.Digest]wanted
}

// wanted is a blob at a place.
type wanted struct {
	truth.Place
	truth.Blob
}

// New returns clients of the Berth at base, a URL without a final slash.
func New(base string, library *truth.Library) *Load {
	return &Load{
		base: base, library: library, Tally: &Tally{}, unsure: map[digest.Digest]wanted{},
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}},
	}
}

// At returns clients that ask below a path of Berth's, e.g. "/hub", over the same
// connections.
func (l *Load) At(path string) *Load {
	other := New(l.base+path, l.library)
	other.client = l.client
	return other
}

// Asked is how many bytes the blobs have together that were asked for so far, each as often
// as it was. No more can have been used, or be on its way in.
func (l *Load) Asked() int64 { return l.asked.Load() }

// HangUp closes idle connections.
func (l *Load) HangUp() { l.client.CloseIdleConnections() }

// Phase is a stretch of load.
type Phase struct {
	// Seed makes the operations what they are.
	Seed uint64
	// Operations are spread evenly over Workers.
	Operations, Workers int
	// Trouble says that upstreams may fail: then so may answers, as long as nobody is told
	// anything false.
	Trouble bool
	// Do is called from one of the workers after each Every operations.
	Every int
	Do    func()
}

// Run runs a phase to its end, or that of ctx.
func (l *Load) Run(ctx context.Context, p Phase) {
	var done atomic.Int64
	var workers sync.WaitGroup
	for w := range p.Workers {
		workers.Go(func() {
			v := &visit{Load: l, random: rand.New(rand.NewPCG(p.Seed, uint64(w))), trouble: p.Trouble}
			for n := w; n < p.Operations && ctx.Err() == nil; n += p.Workers {
				op := pick(v.random)
				l.once(ctx, v, op)
				if p.Every > 0 && done.Add(1)%int64(p.Every) == 0 {
					p.Do()
				}
			}
		})
	}
	workers.Wait()
}

// once runs an operation within its bound and counts it, unless the load was told to end.
func (l *Load) once(ctx context.Context, v *visit, op operation) {
	bounded, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	v.ctx = bounded
	o := op.run(v)
	if ctx.Err() == nil {
		l.Tally.add(op.kind, o, v.trouble)
	}
}

// notSure remembers a blob that did not come whole.
func (l *Load) notSure(p truth.Place, b truth.Blob) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unsure[b.Digest] = wanted{p, b}
}

// Settle fetches each blob that did not come whole, so that no fill is left half done, and
// those that a fault spoiled come again. It returns how many there were, and how many took
// more than one request; what cannot be had at all counts as lost.
func (l *Load) Settle(ctx context.Context) (blobs, again int) {
	l.mu.Lock()
	all := l.unsure
	l.unsure = map[digest.Digest]wanted{}
	l.mu.Unlock()
	const tries = 5
	for _, want := range all {
		for try := range tries {
			v := &visit{Load: l, ctx: ctx, trouble: true}
			o := v.whole(want.Place, want.Blob)
			if o.ending == Right {
				break
			}
			if again++; try == tries-1 {
				l.Tally.add("settle", o, false)
			}
		}
		l.Tally.add("settle", right, false)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.unsure)
	return len(all), again
}

// Pull pulls an image by a reference, whole, and tells how that came out.
func (l *Load) Pull(ctx context.Context, p truth.Place, reference string, image truth.Image) (Ending, string) {
	bounded, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	v := &visit{Load: l, ctx: bounded}
	o := v.pull(p, reference, image)
	return o.ending, o.detail
}

// Blob fetches one blob whole.
func (l *Load) Blob(ctx context.Context, p truth.Place, b truth.Blob) (Ending, string) {
	bounded, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	v := &visit{Load: l, ctx: bounded}
	o := v.whole(p, b)
	return o.ending, o.detail
}

// Manifest fetches one manifest, and tells what Cache-Status says of it.
func (l *Load) Manifest(ctx context.Context, p truth.Place, reference string, image truth.Image) (ending Ending, detail, cacheStatus string) {
	bounded, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	v := &visit{Load: l, ctx: bounded}
	_, o := v.manifest(manifestPath(p, reference), func() []truth.Image { return []truth.Image{image} })
	return o.ending, o.detail, v.cacheStatus
}

// Range fetches some range of a blob.
func (l *Load) Range(ctx context.Context, random *rand.Rand, p truth.Place, b truth.Blob) (Ending, string) {
	bounded, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	v := &visit{Load: l, ctx: bounded, random: random}
	o := v.ranged(p, b)
	return o.ending, o.detail
}
