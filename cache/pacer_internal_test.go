package cache

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestPacer gives a pacer windows of bytes, and tells it that what it added delivers.
func TestPacer(t *testing.T) {
	const left = 1 << 40
	for name, test := range map[string]struct {
		windows []int64
		left    int64
		// want is how many connections there are after each window.
		want []int
	}{
		"steady":            {[]int64{100, 100}, left, []int{1, 2}},
		"getting faster":    {[]int64{100, 200, 400, 410, 420}, left, []int{1, 1, 1, 2, 2}},
		"each helps":        {[]int64{100, 100, 200, 200, 300, 300, 400, 400}, left, []int{1, 2, 2, 3, 3, 4, 4, 4}},
		"the second not":    {[]int64{100, 100, 110, 110, 110, 110}, left, []int{1, 2, 2, 1, 1, 1}},
		"the third not":     {[]int64{100, 100, 200, 200, 205, 205, 205}, left, []int{1, 2, 2, 3, 3, 2, 2}},
		"nothing comes":     {[]int64{0, 0, 0, 0}, left, []int{1, 1, 1, 1}},
		"slows down":        {[]int64{1000, 1000, 200, 100, 100}, 5000, []int{1, 1, 1, 1, 2}},
		"soon over":         {[]int64{100, 100, 100}, 799, []int{1, 1, 1}},
		"a second to go":    {[]int64{100, 100, 100}, 800, []int{1, 2, 2}},
		"helps after a gap": {[]int64{100, 0, 100, 100}, left, []int{1, 1, 1, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPacer(4, 0)
			now, came := p.at, int64(0)
			var got []int
			for _, window := range test.windows {
				now, came = now.Add(sampleEvery), came+window
				if p.sample(now, came, test.left) {
					p.added(now, came)
				}
				got = append(got, p.connections)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if p.sample(now, came, test.left) {
				t.Error("added in no time")
			}
		})
	}
	p := newPacer(4, 0)
	if p.sample(p.at.Add(-time.Second), 1, left) {
		t.Error("added after the clock was set back")
	}
}
