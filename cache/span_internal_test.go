package cache

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// TestSpans holds spans against one flag a byte.
func TestSpans(t *testing.T) {
	const size = 40
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 0))
		var got spans
		var flags [size]bool
		for range 60 {
			from := r.Int64N(size)
			s := span{from, from + r.Int64N(size-from+1)}
			add := r.IntN(2) == 0
			if add {
				got.add(s)
			} else {
				got.remove(s)
			}
			for i := s.from; i < s.to; i++ {
				flags[i] = add
			}
			if diff := cmp.Diff(spansOf(flags[:]), got, cmp.AllowUnexported(span{}), cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("seed %d, add %t of %v (-want +got):\n%s", seed, add, s, diff)
			}
			checkLooks(t, got, flags[:])
		}
	}
}

func spansOf(flags []bool) spans {
	l := spans{}
	for i, set := range flags {
		switch {
		case !set:
		case i > 0 && flags[i-1]:
			l[len(l)-1].to++
		default:
			l = append(l, span{int64(i), int64(i) + 1})
		}
	}
	return l
}

func checkLooks(t *testing.T, l spans, flags []bool) {
	t.Helper()
	var bytes int64
	for i, set := range flags {
		if set {
			bytes++
		}
		end := i
		for end < len(flags) && flags[end] {
			end++
		}
		gap := span{int64(end), int64(end)}
		for gap.to < int64(len(flags)) && !flags[gap.to] {
			gap.to++
		}
		if gap.to == int64(len(flags)) {
			gap.to = math.MaxInt64
		}
		if got := l.end(int64(i)); got != int64(end) {
			t.Fatalf("%v: end(%d) = %d, want %d", l, i, got, end)
		}
		if got := l.gap(int64(i)); got != gap {
			t.Fatalf("%v: gap(%d) = %v, want %v", l, i, got, gap)
		}
	}
	if l.bytes() != bytes {
		t.Fatalf("%v: %d bytes, want %d", l, l.bytes(), bytes)
	}
}
