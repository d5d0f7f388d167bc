package cache_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/opencontainers/go-digest"

	"github.com/berth-cache/berth/cache"
)

var (
	alpine  = cache.Repository{Upstream: "aaaa", Name: "library/alpine"}
	content = digest.FromString("content")
	checked = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
)

// fact is one kind of fact: how it is written, read, and forgotten if it can be.
type fact struct {
	name string
	want any
	put  func(ctx context.Context, x *cache.Index)
	get  func(ctx context.Context, x *cache.Index) (any, error)
	drop func(ctx context.Context, x *cache.Index)
}

func facts() []fact {
	link := func(kind cache.Kind, l cache.Link) fact {
		return fact{
			name: string(kind) + " link", want: l,
			put: func(ctx context.Context, x *cache.Index) { x.PutLink(ctx, alpine, kind, content, l) },
			get: func(ctx context.Context, x *cache.Index) (any, error) { return x.Link(ctx, alpine, kind, content) },
		}
	}
	pointer := cache.Pointer{Digest: content, MediaType: "a/b", Size: 7, ETag: "e", Checked: checked, Ahead: []string{"bbbb"}}
	return []fact{
		link(cache.Manifest, cache.Link{MediaType: "a/b", Size: 7}),
		link(cache.Blob, cache.Link{Size: -1}),
		{
			name: "pointer", want: pointer,
			put:  func(ctx context.Context, x *cache.Index) { x.PutPointer(ctx, alpine, "3", pointer) },
			get:  func(ctx context.Context, x *cache.Index) (any, error) { return x.Pointer(ctx, alpine, "3") },
			drop: func(ctx context.Context, x *cache.Index) { x.DropPointer(ctx, alpine, "3") },
		},
		{
			name: "origin", want: "aaaa",
			put: func(ctx context.Context, x *cache.Index) { x.PutOrigin(ctx, "default", "library/alpine", "aaaa") },
			get: func(ctx context.Context, x *cache.Index) (any, error) {
				return x.Origin(ctx, "default", "library/alpine")
			},
		},
	}
}

// holds fails the test unless the fact is known and as it was written. When a link was
// used is not the writer's to say.
func (f fact) holds(t *testing.T, x *cache.Index) {
	t.Helper()
	got, err := f.get(t.Context(), x)
	if err != nil {
		t.Errorf("%s: %v", f.name, err)
		return
	}
	if diff := cmp.Diff(f.want, got, cmpopts.IgnoreFields(cache.Link{}, "Used"), cmpopts.IgnoreFields(cache.Pointer{}, "Used")); diff != "" {
		t.Errorf("%s (-want +got):\n%s", f.name, diff)
	}
}

func (f fact) unknown(t *testing.T, x *cache.Index) {
	t.Helper()
	if got, err := f.get(t.Context(), x); !errors.Is(err, cache.ErrUnknown) {
		t.Errorf("%s = %+v, %v; want ErrUnknown", f.name, got, err)
	}
}

func TestFacts(t *testing.T) {
	for _, f := range facts() {
		t.Run(f.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "state.db")
			bolt := openState(t, path)
			x := newIndex(t, bolt)
			f.unknown(t, x)
			f.put(t.Context(), x)
			f.holds(t, x)
			f.holds(t, newIndex(t, bolt)) // of another process, or after memory was needed

			if err := bolt.Close(); err != nil {
				t.Fatal(err)
			}
			x = newIndex(t, openState(t, path))
			f.holds(t, x)
			if f.drop == nil {
				return
			}
			f.drop(t.Context(), x)
			f.unknown(t, x)
			f.unknown(t, newIndex(t, bolt))
			f.drop(t.Context(), x) // nothing is there: nothing happens
			f.put(t.Context(), x)
			f.holds(t, x)
		})
	}
}

// That a fact may be there, and cannot be read, is told apart from that it is not there.
func TestFactThatCannotBeRead(t *testing.T) {
	for name, test := range map[string]struct {
		befall func(*sick)
		unread bool
	}{
		"absent":  {func(s *sick) { clear(s.entries) }, false},
		"fails":   {func(s *sick) { s.fault = every(false, errState, "get") }, true},
		"garbled": {func(s *sick) { s.entries["origin|default|app"] = []byte("garbled") }, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSick()
			newIndex(t, s).PutOrigin(t.Context(), "default", "app", "aaaa")
			test.befall(s)
			_, err := newIndex(t, s).Origin(t.Context(), "default", "app")
			if !errors.Is(err, cache.ErrUnknown) || errors.Is(err, cache.ErrUnread) != test.unread {
				t.Errorf("%v, want unread: %t", err, test.unread)
			}
		})
	}
}

// With a warm memory the state is not asked at all: a pull does not wait for it.
func TestFactsInUseNeedNoState(t *testing.T) {
	for _, f := range facts() {
		t.Run(f.name, func(t *testing.T) {
			s := newSick()
			f.put(t.Context(), newIndex(t, s))
			x := newIndex(t, s)
			s.asked()
			f.holds(t, x)
			if diff := cmp.Diff([]string{"get"}, s.asked()); diff != "" {
				t.Errorf("calls of the first read (-want +got):\n%s", diff)
			}
			s.fault = every(false, errState, "get", "put", "delete", "scan")
			f.holds(t, x)
			if calls := s.asked(); len(calls) > 0 {
				t.Errorf("calls of the second read: %q", calls)
			}
		})
	}
}

// However the state fails, who learned a fact goes on knowing it, and whoever comes after
// a restart knows what was written, or nothing.
func TestStateInTroubleLosesNothingInMemory(t *testing.T) {
	for _, trouble := range []struct {
		name    string
		apply   bool
		err     error
		ops     []string
		written bool
	}{
		{"all calls fail", false, errState, []string{"get", "put", "delete", "scan"}, false},
		{"reads fail", false, errState, []string{"get", "scan"}, true},
		{"reads say not found", false, nil, []string{"get", "scan"}, true},
		{"writes fail", false, errState, []string{"put", "delete"}, false},
		{"writes fail but are applied", true, errState, []string{"put", "delete"}, true},
		{"writes are fine but not applied", false, nil, []string{"put", "delete"}, false},
	} {
		t.Run(trouble.name, func(t *testing.T) {
			for _, f := range facts() {
				s := newSick()
				s.fault = every(trouble.apply, trouble.err, trouble.ops...)
				x := newIndex(t, s)
				f.put(t.Context(), x)
				f.holds(t, x)
				s.fault = nil
				f.holds(t, x)
				if again := newIndex(t, s); trouble.written {
					f.holds(t, again)
				} else {
					f.unknown(t, again)
				}
			}
		})
	}
}

// What cannot be read is unknown, and is written over.
func TestDamagedFact(t *testing.T) {
	for _, f := range facts() {
		t.Run(f.name, func(t *testing.T) {
			s := newSick()
			f.put(t.Context(), newIndex(t, s))
			for k := range s.entries {
				s.entries[k] = []byte("{")
			}
			x := newIndex(t, s)
			f.unknown(t, x)
			f.put(t.Context(), x)
			f.holds(t, newIndex(t, s))
		})
	}
}

// A fact that memory has no room for is read from the state again.
func TestMemoryIsBounded(t *testing.T) {
	s := newSick()
	x := cache.NewIndex(s, cache.IndexOptions{MemoryBytes: 16 << 10})
	defer x.Close()
	const n = 5000 // of at least 256 bytes each
	for i := range n {
		x.PutPointer(t.Context(), alpine, fmt.Sprint(i), cache.Pointer{Size: int64(i)})
	}
	s.asked()
	for i := range n {
		if p, err := x.Pointer(t.Context(), alpine, fmt.Sprint(i)); err != nil || p.Size != int64(i) {
			t.Fatalf("Pointer(%d) = %+v, %v", i, p, err)
		}
	}
	if got := len(s.asked()); got < n/2 { // it is cleared in the background, a few hundred behind
		t.Errorf("%d of %d facts came from the state, although memory has room for some 60", got, n)
	}
}

// A read that was under way when a newer fact was written does not bring the older back.
func TestSlowReadDoesNotUndoAWrite(t *testing.T) {
	s := newSick()
	newIndex(t, s).PutPointer(t.Context(), alpine, "3", cache.Pointer{Size: 1})
	reading, resume := make(chan struct{}), make(chan struct{})
	x := newIndex(t, &slow{sick: s, reading: reading, resume: resume})

	done := make(chan struct{})
	go func() {
		defer close(done)
		if _, err := x.Pointer(t.Context(), alpine, "3"); err != nil {
			t.Error(err)
		}
	}()
	<-reading
	x.PutPointer(t.Context(), alpine, "3", cache.Pointer{Size: 2})
	close(resume)
	<-done
	if p, err := x.Pointer(t.Context(), alpine, "3"); err != nil || p.Size != 2 {
		t.Errorf("Pointer = %+v, %v; want the one written last", p, err)
	}
}

// slow hands out what it has read only when it may.
type slow struct {
	*sick
	reading chan<- struct{}
	resume  <-chan struct{}
}

func (s *slow) Get(ctx context.Context, key string) ([]byte, error) {
	value, err := s.sick.Get(ctx, key)
	close(s.reading)
	<-s.resume
	return value, err
}

// A state that answers nothing costs a bounded time, after which the fact is unknown.
func TestStateThatHangs(t *testing.T) {
	const bound = time.Second
	for _, f := range facts() {
		t.Run(f.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSick()
				s.fault = hang
				x := newIndex(t, s)
				took := func(what string, most time.Duration, call func()) {
					t.Helper()
					began := time.Now()
					call()
					if d := time.Since(began); d > most {
						t.Errorf("%s took %s, want at most %s", what, d, most)
					}
				}
				took("reading", bound, func() { f.unknown(t, x) })
				took("writing", 2*bound, func() { f.put(t.Context(), x) }) // some look first
				took("reading what memory has", 0, func() { f.holds(t, x) })
				if f.drop != nil {
					took("dropping", bound, func() { f.drop(t.Context(), x) })
				}
			})
		})
	}
}

// Who leaves does not wait for the state, but what was learned on the way is kept.
func TestClientThatLeft(t *testing.T) {
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for _, f := range facts() {
		t.Run(f.name, func(t *testing.T) {
			s := newSick()
			s.fault = func(ctx context.Context, op, _ string) (bool, error) {
				if op == "get" {
					return hang(ctx, op, "")
				}
				return ctx.Err() == nil, ctx.Err()
			}
			if got, err := f.get(gone, newIndex(t, s)); !errors.Is(err, cache.ErrUnknown) {
				t.Errorf("get = %+v, %v; want ErrUnknown", got, err)
			}
			f.put(gone, newIndex(t, s))
			s.fault = nil
			f.holds(t, newIndex(t, s))
		})
	}
}

// Who reads a fact while it is being dropped does not bring it back.
func TestDroppedWhileRead(t *testing.T) {
	s := newSick()
	x := newIndex(t, s)
	x.PutPointer(t.Context(), alpine, "3", cache.Pointer{Digest: content})
	s.fault = func(ctx context.Context, op, _ string) (bool, error) {
		if op == "delete" {
			if _, err := x.Pointer(ctx, alpine, "3"); err != nil {
				t.Errorf("read before it was dropped: %v", err)
			}
		}
		return true, nil
	}
	x.DropPointer(t.Context(), alpine, "3")
	if p, err := x.Pointer(t.Context(), alpine, "3"); !errors.Is(err, cache.ErrUnknown) {
		t.Errorf("%+v, %v; want ErrUnknown", p, err)
	}
}
