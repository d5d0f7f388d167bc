package cache_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-cache/berth/cache"
	"github.com/berth-cache/berth/state"
)

var errState = errors.New("state burns")

// sick is a state in memory that fails on demand and writes down what it was asked. It
// keeps what expires, and says for how long it was asked to.
type sick struct {
	// fault, if set, says of a call ("get", "put", "swap", "delete" or "scan") whether it has its
	// effect and what it returns. It may wait on ctx. It is set between calls only.
	fault func(ctx context.Context, op, key string) (apply bool, err error)

	mu      sync.Mutex // guards everything below
	entries map[string][]byte
	keep    map[string]time.Duration
	calls   []string
}

var _ state.Store = (*sick)(nil)

func newSick() *sick {
	return &sick{entries: map[string][]byte{}, keep: map[string]time.Duration{}}
}

// call runs f if the call is to have its effect.
func (s *sick) call(ctx context.Context, op, key string, f func() error) error {
	s.mu.Lock()
	s.calls = append(s.calls, op+" "+key)
	s.mu.Unlock()
	apply, fault := true, error(nil)
	if s.fault != nil {
		apply, fault = s.fault(ctx, op, key)
	}
	if !apply {
		return fault
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(f(), fault)
}

func (s *sick) Get(ctx context.Context, key string) (value []byte, err error) {
	err = s.call(ctx, "get", key, func() error {
		held, ok := s.entries[key]
		if !ok {
			return state.ErrNotFound
		}
		value = slices.Clone(held)
		return nil
	})
	return value, err
}

func (s *sick) Put(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	return s.call(ctx, "put", key, func() error {
		s.entries[key], s.keep[key] = slices.Clone(value), ttl
		return nil
	})
}

// CompareAndSwap knows nothing of absent keys: the index swaps only what it has read.
func (s *sick) CompareAndSwap(ctx context.Context, key string, swap state.Swap) error {
	return s.call(ctx, "swap", key, func() error {
		if !bytes.Equal(s.entries[key], swap.Old) {
			return state.ErrConflict
		}
		s.entries[key], s.keep[key] = slices.Clone(swap.New), swap.TTL
		return nil
	})
}

func (s *sick) Delete(ctx context.Context, key string) error {
	return s.call(ctx, "delete", key, func() error {
		delete(s.entries, key)
		return nil
	})
}

func (s *sick) Scan(ctx context.Context, r state.Range) (found []state.Entry, err error) {
	err = s.call(ctx, "scan", r.Prefix, func() error {
		for _, k := range slices.Sorted(maps.Keys(s.entries)) {
			if strings.HasPrefix(k, r.Prefix) && k > r.After && len(found) < r.Limit {
				found = append(found, state.Entry{Key: k, Value: slices.Clone(s.entries[k])})
			}
		}
		return nil
	})
	return found, err
}

// asked returns the calls since the last time, by their operation alone.
func (s *sick) asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	ops := []string{}
	for _, c := range s.calls {
		op, _, _ := strings.Cut(c, " ")
		ops = append(ops, op)
	}
	s.calls = nil
	return ops
}

// keeps returns for how long each key was asked to be kept, by the first word of the key.
func (s *sick) keeps() map[string]time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := map[string]time.Duration{}
	for k, ttl := range s.keep {
		word, _, _ := strings.Cut(k, "|")
		kept[word] = ttl
	}
	return kept
}

// every returns a fault that meets all calls of the operations.
func every(apply bool, err error, ops ...string) func(context.Context, string, string) (bool, error) {
	return func(_ context.Context, op, _ string) (bool, error) {
		if slices.Contains(ops, op) {
			return apply, err
		}
		return true, nil
	}
}

// hang is a fault that answers no call before its context ends.
func hang(ctx context.Context, _, _ string) (bool, error) {
	<-ctx.Done()
	return false, ctx.Err()
}

func openState(t *testing.T, path string) *state.Bolt {
	t.Helper()
	b, err := state.OpenBolt(path, state.BoltOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func newState(t *testing.T) *state.Bolt {
	t.Helper()
	return openState(t, filepath.Join(t.TempDir(), "state.db"))
}

// newIndex returns an Index that ends with t. In a synctest bubble it ends with that.
func newIndex(t *testing.T, s state.Store) *cache.Index {
	t.Helper()
	x := cache.NewIndex(s, cache.IndexOptions{})
	t.Cleanup(x.Close)
	return x
}

// journal is a log that remembers its lines' op and error.
type journal struct {
	slog.Handler

	mu    sync.Mutex // guards lines
	lines []string
}

func newJournal() *journal { return &journal{Handler: slog.DiscardHandler} }

func (*journal) Enabled(context.Context, slog.Level) bool { return true }

func (j *journal) Handle(_ context.Context, r slog.Record) error {
	line := []string{r.Level.String(), r.Message}
	r.Attrs(func(a slog.Attr) bool {
		line = append(line, a.String())
		return true
	})
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, strings.Join(line, " "))
	return nil
}

// take returns the lines since the last time.
func (j *journal) take() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	lines := j.lines
	j.lines = nil
	return lines
}
