package cache

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/berth-cache/berth/cache/store"
)

const (
	// scrubEvery is how long after its begin a round is followed by the next: often enough
	// for rot, which is rare, and seldom enough for disks that wear or are paid by the read.
	scrubEvery = 30 * 24 * time.Hour
	// scrubRest is how long a scrub that could not go on waits.
	scrubRest = time.Minute
	// bookmarkEvery is how much of a round is done again after a crash.
	bookmarkEvery = 30 * time.Second
	// objectCost is what opening an object counts for, in bytes, so that many small ones do
	// not make the disk busy.
	objectCost = 64 << 10
)

// Scrubbable is a store that a Scrub looks through. *store.Disk is one.
type Scrubbable interface {
	Inspectable
	// Bookmark returns what SetBookmark kept last, nil if there is nothing.
	Bookmark() ([]byte, error)
	SetBookmark(b []byte) error
}

var _ Scrubbable = (*store.Disk)(nil)

// ScrubOptions are what a Scrub is made of.
type ScrubOptions struct {
	Store Scrubbable
	// BytesPerSecond is how fast it reads at most; 0 is not at all.
	BytesPerSecond int64
	// Logger hears of damage; nil discards. Metrics may be nil.
	Logger  *slog.Logger
	Metrics *Metrics
}

// Scrub reads all content in turn, slowly, and drops what does not have its digest any
// more, so that it is fetched again while an upstream still has it. It looks through
// everything once in thirty days and goes on where it was after a restart. Clients do not
// wait for it, and it counts as no use.
type Scrub struct {
	contents *Contents
	store    Scrubbable
	log      *slog.Logger
	metrics  *Metrics

	rate    atomic.Int64
	changed chan struct{} // has room for one signal that rate was set
	due     time.Time     // when the next bytes may be read; the goroutine's own

	stop    context.CancelFunc
	running sync.WaitGroup
}

// scrubbed is how far a scrub has come, as it is kept.
type scrubbed struct {
	// Under tells that a round is under way, and After which object it read last.
	Under bool          `json:"under"`
	After digest.Digest `json:"after,omitempty"`
	// Began is when that round began, or the last one.
	Began time.Time `json:"began"`
	// Done is when a round was last complete.
	Done time.Time `json:"done"`
}

// rest is how long there is nothing to do. A round that began in the future began before
// the clock was set back, and does not count.
func (at scrubbed) rest() time.Duration {
	if since := time.Since(at.Began); !at.Under && since >= 0 {
		return scrubEvery - since
	}
	return 0
}

// NewScrub begins to scrub what c holds. Close ends it, before c and the store.
func NewScrub(c *Contents, opts ScrubOptions) *Scrub {
	ctx, stop := context.WithCancel(context.Background())
	s := &Scrub{
		contents: c, store: opts.Store, log: opts.Logger, metrics: opts.Metrics,
		changed: make(chan struct{}, 1), stop: stop,
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.rate.Store(opts.BytesPerSecond)
	s.running.Go(func() { s.run(ctx) })
	return s
}

// Limit changes how many bytes are read a second at most; 0 is none.
func (s *Scrub) Limit(bytesPerSecond int64) {
	s.rate.Store(bytesPerSecond)
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// Close ends the scrub and waits for that.
func (s *Scrub) Close() {
	s.stop()
	s.running.Wait()
}

func (s *Scrub) run(ctx context.Context) {
	at := s.load()
	s.metrics.scrubRound(at.Done)
	for {
		for rest := at.rest(); rest > 0; rest = at.rest() {
			// In pieces: the clock may be set, and the machine may sleep.
			if wait(ctx, min(rest, time.Hour)) != nil {
				return
			}
		}
		err := s.round(ctx, &at)
		s.keep(at)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			s.log.Warn("content could not be looked through, it goes on later", "error", err)
			if wait(ctx, scrubRest) != nil {
				return
			}
		}
	}
}

// round reads what is behind at, and moves that along.
func (s *Scrub) round(ctx context.Context, at *scrubbed) error {
	if !at.Under {
		*at = scrubbed{Under: true, Began: time.Now().Round(0), Done: at.Done}
	}
	i := newInspector(s.store, s.pace)
	kept := time.Now()
	for o, err := range s.store.Objects(ctx, at.After) {
		if err != nil {
			return err
		}
		err = s.object(ctx, i, o.Digest)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		// It is passed over even so: what cannot be read must not hide all that is behind it.
		at.After = o.Digest
		if err != nil {
			return err
		}
		if time.Since(kept) >= bookmarkEvery {
			kept = time.Now()
			s.keep(*at)
		}
	}
	*at = scrubbed{Began: at.Began, Done: time.Now().Round(0)}
	s.metrics.scrubRound(at.Done)
	return nil
}

// object looks at one object. Its error is what keeps the scrub from going on.
func (s *Scrub) object(ctx context.Context, i *inspector, d digest.Digest) error {
	if err := s.pace(ctx, objectCost); err != nil {
		return err
	}
	size, err := i.inspect(ctx, d)
	switch {
	case errors.Is(err, errDamaged), errors.Is(err, store.ErrDropped):
		s.contents.small.drop(d)
		s.metrics.damage(foundByScrub)
		s.log.Error("damaged content was found and dropped, it is fetched again when it is asked for", "digest", d, "error", err)
		return nil
	case errors.Is(err, store.ErrNotFound):
		return nil // evicted meanwhile
	case err != nil:
		return fmt.Errorf("scrub %s: %w", d, err)
	}
	s.metrics.scrub(size)
	return nil
}

// pace waits until n bytes more may have been read.
func (s *Scrub) pace(ctx context.Context, n int) error {
	rate := s.rate.Load()
	for rate <= 0 {
		select {
		case <-s.changed:
			rate = s.rate.Load()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	now := time.Now()
	if s.due.Before(now) {
		s.due = now // what was not read in time is not made up for
	}
	s.due = s.due.Add(time.Duration(float64(n) / float64(rate) * float64(time.Second)))
	// A timer for each small object would cost more than reading it.
	ahead := s.due.Sub(now)
	if ahead <= 10*time.Millisecond {
		return ctx.Err()
	}
	timer := time.NewTimer(ahead)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.changed:
		s.due = time.Now() // it was due by a rate that does not hold any more
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

func (s *Scrub) load() scrubbed {
	var at scrubbed
	b, err := s.store.Bookmark()
	if err == nil && b != nil {
		err = json.Unmarshal(b, &at)
	}
	if err == nil && at.After != "" {
		err = at.After.Validate()
	}
	if err != nil {
		s.log.Warn("how far content was looked through is not known, it begins anew", "error", err)
		return scrubbed{}
	}
	return at
}

func (s *Scrub) keep(at scrubbed) {
	b, err := json.Marshal(at)
	if err == nil {
		err = s.store.SetBookmark(b)
	}
	if err != nil && !errors.Is(err, store.ErrClosed) {
		s.log.Debug("how far content was looked through could not be kept", "error", err)
	}
}
