package statetest

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/berth-cache/berth/state"
)

func testScanRanges(t *testing.T, s state.Store) {
	wantScan(t, s, state.Range{Limit: 1})
	for _, key := range []string{"z", "b/2", "a", "b", "b0", "b/", "b/1", "b/1/x", "é", "ê", "\u007f", "\U0010ffff", "\U0010ffffa"} {
		put(t, s, key, "v")
	}
	for name, test := range map[string]struct {
		r    state.Range
		want string
	}{
		"all":                          {state.Range{}, "a b b/ b/1 b/1/x b/2 b0 z \u007f é ê \U0010ffff \U0010ffffa"},
		"prefix":                       {state.Range{Prefix: "b/"}, "b/ b/1 b/1/x b/2"},
		"prefix is a key":              {state.Range{Prefix: "b/1"}, "b/1 b/1/x"},
		"prefix of nothing":            {state.Range{Prefix: "c"}, ""},
		"prefix beyond all":            {state.Range{Prefix: "\U0010ffffb"}, ""},
		"prefix with the last rune":    {state.Range{Prefix: "\U0010ffff"}, "\U0010ffff \U0010ffffa"},
		"prefix within a rune":         {state.Range{Prefix: "\xc3"}, "é ê"},
		"prefix of the highest byte":   {state.Range{Prefix: "\xff"}, ""},
		"prefix ending in it":          {state.Range{Prefix: "b\xff"}, ""},
		"prefix ends before next":      {state.Range{Prefix: "\u007f"}, "\u007f"},
		"after":                        {state.Range{After: "b/1"}, "b/1/x b/2 b0 z \u007f é ê \U0010ffff \U0010ffffa"},
		"after no key":                 {state.Range{After: "b/1/"}, "b/1/x b/2 b0 z \u007f é ê \U0010ffff \U0010ffffa"},
		"after the last":               {state.Range{After: "\U0010ffffa"}, ""},
		"after within a rune":          {state.Range{After: "\xc3", Prefix: "\xc3"}, "é ê"},
		"after in prefix":              {state.Range{Prefix: "b/", After: "b/1"}, "b/1/x b/2"},
		"after is the prefix":          {state.Range{Prefix: "b/", After: "b/"}, "b/1 b/1/x b/2"},
		"after is before the prefix":   {state.Range{Prefix: "b/", After: "a"}, "b/ b/1 b/1/x b/2"},
		"after is beyond the prefix":   {state.Range{Prefix: "b/", After: "b0"}, ""},
		"limit":                        {state.Range{Limit: 2}, "a b"},
		"limit in prefix":              {state.Range{Prefix: "b", Limit: 3}, "b b/ b/1"},
		"limit after in prefix":        {state.Range{Prefix: "b", After: "b/", Limit: 1}, "b/1"},
		"limit of more than there are": {state.Range{Prefix: "b/", Limit: math.MaxInt}, "b/ b/1 b/1/x b/2"},
		"limit of just as many":        {state.Range{Prefix: "b/", Limit: 4}, "b/ b/1 b/1/x b/2"},
	} {
		if test.r.Limit == 0 {
			test.r.Limit = 100
		}
		t.Run(name, func(t *testing.T) {
			var want []string
			for _, key := range strings.Fields(test.want) {
				want = append(want, key+"=v")
			}
			wantScan(t, s, test.r, want...)
		})
	}
}

// testScanPaging walks page by page while keys before, in and after the page come and
// go: those that were there all the time are each seen once.
func testScanPaging(t *testing.T, s state.Store) {
	var want []string
	for i := range 50 {
		key := fmt.Sprintf("p/%02d", i)
		put(t, s, key, "stays")
		put(t, s, key+"-", "goes")
		want = append(want, key)
	}
	put(t, s, "p0", "outside")
	var got []string
	after, last := "", ""
	for page := 0; ; page++ {
		entries, err := s.Scan(t.Context(), state.Range{Prefix: "p/", After: after, Limit: 7})
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) == 0 {
			break
		}
		for _, e := range entries {
			if e.Key <= last {
				t.Errorf("%q came after %q", e.Key, last)
			}
			if last = e.Key; string(e.Value) == "stays" {
				got = append(got, e.Key)
			}
		}
		after = last
		put(t, s, "p/", "before all pages")
		put(t, s, fmt.Sprintf("p/%02d+", page), "new")
		if err := s.Delete(t.Context(), after[:4]+"-"); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("keys that stayed (-want +got):\n%s", diff)
	}
}

// testScanMany is larger than any step an engine takes at once, in number and in bytes.
func testScanMany(t *testing.T, s state.Store) {
	const small, large = 1500, 5
	var want []string
	inParallel(t, small, func(i int) error {
		return s.Put(t.Context(), fmt.Sprintf("s/%04d", i), []byte("small"), 0)
	})
	for i := range small {
		want = append(want, fmt.Sprintf("s/%04d", i))
	}
	bytes := strings.Repeat("x", 700<<10)
	for i := range large {
		key := fmt.Sprintf("s/%04d+", i)
		put(t, s, key, bytes)
		want = append(want[:2*i+1], append([]string{key}, want[2*i+1:]...)...)
	}
	for _, limit := range []int{len(want) + 1, len(want), len(want) - 1, 3} {
		entries, err := s.Scan(t.Context(), state.Range{Prefix: "s/", Limit: limit})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range entries {
			got = append(got, e.Key)
			if len(e.Value) != len("small") && len(e.Value) != len(bytes) {
				t.Errorf("value of %q has %d bytes", e.Key, len(e.Value))
			}
		}
		if diff := cmp.Diff(want[:min(limit, len(want))], got); diff != "" {
			t.Errorf("limit %d (-want +got):\n%s", limit, diff)
		}
	}
}
