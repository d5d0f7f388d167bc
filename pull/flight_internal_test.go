package pull

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// held is a flight's value that holds something open.
type held struct{ released atomic.Int32 }

func (h *held) release() { h.released.Add(1) }

func TestFlightIsOneForAllWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWork()
		defer w.close()
		g := newFlights[int](w)
		var runs atomic.Int32
		land := make(chan struct{})
		fly := func(context.Context) (int, error) {
			<-land
			return int(runs.Add(1)), nil
		}
		results := make(chan int, 20)
		for range 20 {
			go func() {
				v, err := g.do(t.Context(), "key", fly)
				if err != nil {
					t.Error(err)
				}
				results <- v
			}()
		}
		synctest.Wait()
		other, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := g.do(other, "key", fly); !errors.Is(err, context.Canceled) {
			t.Errorf("who has left gets %v, want its own error", err)
		}
		close(land)
		for range 20 {
			if v := <-results; v != 1 {
				t.Errorf("result of run %d, want that of the first for all", v)
			}
		}
		if v, err := g.do(t.Context(), "key", fly); v != 2 || err != nil {
			t.Errorf("after the landing: %d, %v; want a second run", v, err)
		}
		if v, err := g.do(t.Context(), "other", fly); v != 3 || err != nil {
			t.Errorf("another key: %d, %v; want a run of its own", v, err)
		}
	})
}

// What a flight holds open is let go once: when it has landed and all have left.
func TestFlightIsReleasedOnce(t *testing.T) {
	fault := errors.New("fault")
	rows := []struct {
		name string
		// before and after the landing, so many leave.
		before, after int
		err           error
		want          int32
	}{
		{name: "all stay", after: 3, want: 1},
		{name: "some leave early", before: 2, after: 1, want: 1},
		{name: "all leave early", before: 3, want: 1},
		{name: "it failed", after: 3, err: fault},
		{name: "it failed when all had left", before: 3, err: fault},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWork()
				defer w.close()
				g := newFlights[*held](w)
				value, land := &held{}, make(chan struct{})
				var last *flight[*held]
				for range row.before + row.after {
					last = g.join("key", func(context.Context) (*held, error) {
						<-land
						return value, row.err
					})
				}
				for range row.before {
					last.leave()
				}
				close(land)
				synctest.Wait()
				if got := value.released.Load(); row.after > 0 && got != 0 {
					t.Errorf("released %d times while %d need it", got, row.after)
				}
				for range row.after {
					if _, err := last.wait(t.Context()); !errors.Is(err, row.err) {
						t.Errorf("wait: %v, want %v", err, row.err)
					}
					last.leave()
				}
				if got := value.released.Load(); got != row.want {
					t.Errorf("released %d times, want %d", got, row.want)
				}
			})
		})
	}
}

func TestWorkEndsWithItsOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWork()
		g := newFlights[int](w)
		fl := g.join("key", func(ctx context.Context) (int, error) {
			<-ctx.Done()
			return 0, ctx.Err()
		})
		w.close()
		if _, err := fl.wait(t.Context()); !errors.Is(err, context.Canceled) {
			t.Errorf("work under way: %v, want it cancelled", err)
		}
		fl.leave()
		_, err := g.do(t.Context(), "key", func(context.Context) (int, error) {
			t.Error("work began after its owner's end")
			return 0, nil
		})
		if e, ok := errors.AsType[*Error](err); !ok || e.Reason != Unavailable {
			t.Errorf("work after the end: %v, want unavailable", err)
		}
		w.close() // once more does nothing
	})
}
