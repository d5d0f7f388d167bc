package cache

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/berth-cache/berth/state"
)

// ErrUnknown says that nothing is known under a key: the fact was never written, has
// expired, or the state that has it cannot be reached just now.
var ErrUnknown = errors.New("not known")

// ErrUnread is the ErrUnknown of a fact that may be there: the state could not be asked, or
// what it has cannot be understood.
var ErrUnread = fmt.Errorf("%w: the state cannot be read", ErrUnknown)

const (
	// defaultFacts is about how many bytes of memory the facts in use may take: some 80,000.
	defaultFacts = 32 << 20
	// unusedFor is how long a fact that nobody asks for is kept.
	unusedFor = 90 * 24 * time.Hour
	// stateBound is the longest a request waits for the state: past it the fact counts
	// as unknown and the upstream is asked instead.
	stateBound = time.Second
	// complainEvery keeps a broken state from filling the log.
	complainEvery = 10 * time.Second
	separator     = "|" // in no repository name, tag, digest or fingerprint
)

// Index holds links, pointers, origins and lists: small facts in the state, with those in
// use in memory as well, so that a warm pull needs no state and lives through its loss.
type Index struct {
	state  state.Store
	memory *otter.Cache[string, any]
	logger *slog.Logger
	count  *Metrics

	behind     sync.WaitGroup // refreshes under way
	complained atomic.Int64   // unix nanoseconds of the last complaint about the state
}

// IndexOptions tunes an Index.
type IndexOptions struct {
	// MemoryBytes is about how much memory the facts in use may take; zero is 32 MiB.
	MemoryBytes uint64
	Logger      *slog.Logger
	// Metrics counts trouble with the state, and may be nil.
	Metrics *Metrics
}

// NewIndex returns an Index over s. It does no IO.
func NewIndex(s state.Store, opts IndexOptions) *Index {
	if opts.MemoryBytes == 0 {
		opts.MemoryBytes = defaultFacts
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	return &Index{
		state:  s,
		memory: otter.Must(&otter.Options[string, any]{MaximumWeight: opts.MemoryBytes, Weigher: weigh}),
		logger: opts.Logger,
		count:  opts.Metrics,
	}
}

// weigh estimates the bytes that a fact takes in memory, its key and bookkeeping included.
func weigh(k string, fact any) uint32 {
	w := 256 + len(k)
	if l, ok := fact.(List); ok {
		w += len(l.Body)
	}
	return uint32(w)
}

// Close waits for what goes on in the background, a second at most, and stops it. Nobody
// uses the Index any more; the state is its owner's to close.
func (x *Index) Close() {
	x.behind.Wait()
	x.memory.StopAllGoroutines()
}

// Repository is one repository at one upstream, by the upstream's fingerprint.
type Repository struct {
	Upstream, Name string
}

func key(parts ...string) string { return strings.Join(parts, separator) }

// load returns the fact under k. It prefers memory, and asks the state otherwise.
func load[T any](ctx context.Context, x *Index, k string) (T, error) {
	if v, ok := x.memory.GetIfPresent(k); ok {
		switch fact := v.(type) {
		case T:
			return fact, nil
		case absent:
			if fact.holds() {
				return *new(T), ErrUnknown
			}
			x.forgetAbsent(k)
		}
	}
	var fact T
	ctx, cancel := context.WithTimeout(ctx, stateBound)
	defer cancel()
	raw, err := x.state.Get(ctx, k)
	if err != nil {
		if !errors.Is(err, state.ErrNotFound) {
			x.complain(opRead, k, err)
			return fact, ErrUnread
		}
		return remembered(x, k, fact, absent(time.Now()))
	}
	if err := json.Unmarshal(raw, &fact); err != nil {
		x.complain(opDecode, k, err)
		return fact, ErrUnread
	}
	return remembered(x, k, fact, fact)
}

// remembered keeps what the state said in memory, and returns it. Whoever wrote another
// fact while the state was read knows better.
func remembered[T any](x *Index, k string, fact T, as any) (T, error) {
	if newer, set := x.memory.SetIfAbsent(k, as); !set {
		if written, ok := newer.(T); ok {
			return written, nil
		}
	}
	if _, missing := as.(absent); missing {
		return fact, ErrUnknown
	}
	return fact, nil
}

// save writes the fact under k, to memory for certain and to the state if that answers:
// the pull that learned it does not fail for a fact that can be learned again.
func save[T any](ctx context.Context, x *Index, k string, fact T) {
	x.memory.Set(k, fact)
	raw, err := json.Marshal(fact)
	if err == nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stateBound)
		defer cancel()
		err = x.state.Put(ctx, k, raw, unusedFor)
	}
	if err != nil {
		x.complain(opWrite, k, err)
	}
}

func (x *Index) drop(ctx context.Context, k string) {
	x.memory.Invalidate(k)
	defer x.memory.Invalidate(k) // who read it from the state before it went has put it back
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stateBound)
	defer cancel()
	if err := x.state.Delete(ctx, k); err != nil {
		x.complain(opDelete, k, err)
	}
}

// complain counts trouble with the state, and logs it now and then. A key that is not there
// is none, nor is a client that left while the state was asked.
func (x *Index) complain(op, k string, err error) {
	if errors.Is(err, state.ErrNotFound) || errors.Is(err, context.Canceled) {
		return
	}
	x.count.stateError(op)
	now := time.Now().UnixNano()
	last := x.complained.Load()
	if since := now - last; since >= 0 && since < int64(complainEvery) || !x.complained.CompareAndSwap(last, now) {
		return
	}
	x.logger.Warn("state in trouble, pulls go on without it", "op", op, "key", k, "error", err)
}
