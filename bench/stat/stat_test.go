package stat_test

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/berth-cache/berth/bench/stat"
)

func TestOf(t *testing.T) {
	for name, c := range map[string]struct {
		values []float64
		want   stat.Spread
	}{
		"one":        {[]float64{3}, stat.Spread{Median: 3, Min: 3, Max: 3}},
		"odd":        {[]float64{9, 1, 5}, stat.Spread{Median: 5, Min: 1, Max: 9}},
		"even":       {[]float64{4, 1, 2, 9}, stat.Spread{Median: 3, Min: 1, Max: 9}},
		"an outlier": {[]float64{1, 1, 1, 1, 1000}, stat.Spread{Median: 1, Min: 1, Max: 1000}},
	} {
		t.Run(name, func(t *testing.T) {
			before := append([]float64(nil), c.values...)
			if diff := cmp.Diff(c.want, stat.Of(c.values)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(before, c.values); diff != "" {
				t.Errorf("the values were touched: %s", diff)
			}
		})
	}
	if got := stat.Of(nil); !math.IsNaN(got.Median) || !math.IsNaN(got.Min) || !math.IsNaN(got.Max) {
		t.Errorf("of none: %+v", got)
	}
}

func TestRatiosAreOfNeighbours(t *testing.T) {
	got := stat.Ratios([]float64{10, 200, 5, 0, 1}, []float64{5, 100, 0, 0})
	if diff := cmp.Diff([]float64{2, 2}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestPercentile(t *testing.T) {
	hundred := make([]int, 100)
	for i := range hundred {
		hundred[i] = i + 1
	}
	for _, c := range []struct {
		sorted []int
		p      float64
		want   int
	}{
		{hundred, 0, 1},
		{hundred, 0.5, 50},
		{hundred, 0.99, 99},
		{hundred, 0.991, 100},
		{hundred, 1, 100},
		{[]int{7}, 0.99, 7},
		{[]int{1, 2}, 0.5, 1},
		{nil, 0.5, 0},
	} {
		if got := stat.Percentile(c.sorted, c.p); got != c.want {
			t.Errorf("%g of %d: %d, want %d", c.p, len(c.sorted), got, c.want)
		}
	}
}
