package cache_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/berth-cache/berth/cache"
	"github.com/berth-cache/berth/state"
)

const trouble = "WARN state in trouble, pulls go on without it "

// noPointer reads what cannot be known.
func noPointer(ctx context.Context, x *cache.Index) {
	if p, err := x.Pointer(ctx, alpine, "3"); err == nil {
		panic(p)
	}
}

// Trouble with the state is told once in ten seconds, and in words that say what it met.
func TestComplaints(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault func(context.Context, string, string) (bool, error)
		call  func(ctx context.Context, x *cache.Index)
		want  string
	}{
		{"read", every(false, errState, "get"), noPointer, "op=read key=pointer|aaaa|library/alpine|3 error=state burns"},
		{"write", every(false, errState, "put"), func(ctx context.Context, x *cache.Index) { x.PutPointer(ctx, alpine, "3", cache.Pointer{}) }, "op=write key=pointer|aaaa|library/alpine|3 error=state burns"},
		{"delete", every(false, errState, "delete"), func(ctx context.Context, x *cache.Index) { x.DropPointer(ctx, alpine, "3") }, "op=delete key=pointer|aaaa|library/alpine|3 error=state burns"},
		{"scan", every(false, errState, "scan"), func(ctx context.Context, x *cache.Index) { x.Known(ctx, alpine) }, "op=scan key=known|aaaa|library/alpine error=state burns"},
		{"nonsense", nil, noPointer, "op=decode key=pointer|aaaa|library/alpine|3 error=invalid character 'o' in literal null (expecting 'u')"},
		{"no answer", hang, noPointer, "op=read key=pointer|aaaa|library/alpine|3 error=context deadline exceeded"},
		{"not found is no trouble", every(false, state.ErrNotFound, "get"), noPointer, ""},
		{"a client that left is no trouble", hang, func(ctx context.Context, x *cache.Index) {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			noPointer(ctx, x)
		}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, log := newSick(), newJournal()
				s.fault = c.fault
				s.entries["pointer|aaaa|library/alpine|3"] = []byte("nonsense")
				registry := prometheus.NewPedanticRegistry()
				x := cache.NewIndex(s, cache.IndexOptions{Logger: slog.New(log), Metrics: cache.NewMetrics(registry, nil)})
				defer x.Close()
				c.call(t.Context(), x)
				var counts []string
				for _, op := range []string{"delete", "read", "scan", "write"} {
					n := 0
					if strings.HasPrefix(c.want, "op="+op+" ") || op == "read" && strings.HasPrefix(c.want, "op=decode ") {
						n = 1
					}
					counts = append(counts, fmt.Sprintf(`berth_state_errors_total{op=%q} %d`, op, n))
				}
				wantMetrics(t, registry, counts...)
				var want []string
				if c.want != "" {
					want = []string{trouble + c.want}
				}
				if diff := cmp.Diff(want, log.take()); diff != "" {
					t.Errorf("complaints (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestComplaintsAreRare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, log := newSick(), newJournal()
		s.fault = every(false, errState, "get", "put", "delete", "scan")
		x := cache.NewIndex(s, cache.IndexOptions{Logger: slog.New(log)})
		defer x.Close()
		complain := func() {
			x.DropPointer(t.Context(), alpine, "3")
			x.PutPointer(t.Context(), alpine, "3", cache.Pointer{})
		}
		for _, step := range []struct {
			after time.Duration
			want  int
		}{{0, 1}, {time.Second, 0}, {9*time.Second - 1, 0}, {1, 1}, {time.Second, 0}, {time.Hour, 1}} {
			time.Sleep(step.after)
			complain()
			if got := len(log.take()); got != step.want {
				t.Errorf("%d complaints %s later, want %d", got, step.after, step.want)
			}
		}
	})
}
