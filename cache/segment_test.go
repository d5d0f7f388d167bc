package cache_test

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/berth-cache/berth/cache"
	"github.com/berth-cache/berth/cache/storetest"
)

const (
	// segment is the least that is asked for at once in these tests. One connection carries
	// beatBytes in a beat, which is about 255 KiB in a second, and never at the same
	// time as something else happens.
	segment   = 64 << 10
	beatBytes = 4 << 10
	beat      = 15700 * time.Microsecond
)

// alone is how long size bytes take over one connection.
func alone(size int) time.Duration { return time.Duration(size/beatBytes) * beat }

// filled reads content through a fill from src and returns how long that took.
func filled(t *testing.T, c *cache.Contents, content storetest.Content, src cache.Source) time.Duration {
	t.Helper()
	began := time.Now()
	wantContent(t, fill(t, c, content.Digest, src), content.Bytes)
	took := time.Since(began)
	synctest.Wait()
	wantHeld(t, c, content)
	return took
}

// TestSegments: four connections are four times as fast, of which finding that out costs a
// part; and nothing comes twice.
func TestSegments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newContents(t, openDisk(t), cache.ContentOptions{})
		content := storetest.Random(1, 4<<20)
		src := &narrow{content: content.Bytes, lanes: cache.NewLanes(4, segment), latency: 20 * time.Millisecond}
		took := filled(t, c, content, src)
		if one := alone(4 << 20); took > one/3 {
			t.Errorf("took %v, and %v alone", took, one)
		}
		if src.most != 4 || src.open != 0 {
			t.Errorf("%d connections at once, %d left open", src.most, src.open)
		}
		if src.sent != int64(len(content.Bytes)) {
			t.Errorf("%d bytes were sent of %d", src.sent, len(content.Bytes))
		}
		// In 250 ms 15 beats came. The first connection keeps what it brings in a second at
		// that rate, the second one begins behind that.
		const came, rate = 15 * beatBytes, 4 * 15 * beatBytes
		if diff := cmp.Diff([]asked{{0, -1}, {came + rate, rate}}, src.opens[:2]); diff != "" {
			t.Errorf("asked first (-want +got):\n%s", diff)
		}
	})
}

// TestSegmentsWithoutGain: where one connection more brings nothing, no second one is tried.
func TestSegmentsWithoutGain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newContents(t, openDisk(t), cache.ContentOptions{})
		content := storetest.Random(1, 2<<20)
		src := &narrow{content: content.Bytes, lanes: cache.NewLanes(8, segment), shared: true}
		took := filled(t, c, content, src)
		if one := alone(2 << 20); took > one+2*beat || src.most != 2 {
			t.Errorf("took %v, %v alone, over %d connections", took, one, src.most)
		}
		last := src.opens[len(src.opens)-1]
		if last.Length != -1 || len(src.opens) > 4 {
			t.Errorf("asked for %v, which does not end with one connection again", src.opens)
		}
	})
}

// TestSegmentsNotWorthIt: what is small, soon over, or comes without lanes has one request.
func TestSegmentsNotWorthIt(t *testing.T) {
	for name, test := range map[string]struct {
		size  int
		lanes *cache.Lanes
	}{
		"three segments": {3 * segment, cache.NewLanes(4, segment)},
		"soon over":      {70 * beatBytes, cache.NewLanes(4, segment/2)},
		"one connection": {1 << 20, cache.NewLanes(1, segment)},
		"none":           {1 << 20, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newContents(t, openDisk(t), cache.ContentOptions{})
				content := storetest.Random(1, test.size)
				src := &narrow{content: content.Bytes, lanes: test.lanes}
				filled(t, c, content, src)
				if diff := cmp.Diff([]asked{{0, -1}}, src.opens); diff != "" {
					t.Errorf("asked (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// TestSegmentAhead: what a reader far ahead waits for is fetched at once, and no more than
// the first connection besides where that is fast enough.
func TestSegmentAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newContents(t, openDisk(t), cache.ContentOptions{})
		content := storetest.Random(1, 2<<20)
		src := &narrow{content: content.Bytes, lanes: cache.NewLanes(2, segment), latency: 20 * time.Millisecond, shared: true}
		r := fill(t, c, content.Digest, src)
		ahead := fill(t, c, content.Digest, &source{})
		const at = 1<<20 + 5
		if _, err := ahead.Seek(at, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		got := make([]byte, 10_000)
		if _, err := io.ReadFull(ahead, got); err != nil || string(got) != string(content.Bytes[at:at+10_000]) {
			t.Fatalf("ahead: %v, or other bytes", err)
		}
		if took := time.Since(began); took > 200*time.Millisecond {
			t.Errorf("waited %v for what is far ahead", took)
		}
		if diff := cmp.Diff([]asked{{0, -1}, {at, segment}}, src.told()); diff != "" {
			t.Errorf("asked (-want +got):\n%s", diff)
		}
		closeReader(t, ahead)
		wantContent(t, r, content.Bytes)
		if src.sent != int64(len(content.Bytes)) {
			t.Errorf("%d bytes were sent of %d", src.sent, len(content.Bytes))
		}
	})
}

// TestSegmentFollowers: wherever readers stand, they get every byte in order, and the last
// one after the digest matched.
func TestSegmentFollowers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newContents(t, openDisk(t), cache.ContentOptions{})
		content := storetest.Random(1, 4<<20)
		src := &narrow{content: content.Bytes, lanes: cache.NewLanes(4, segment)}
		first := fill(t, c, content.Digest, src)
		var clients sync.WaitGroup
		for i := range 20 {
			clients.Go(func() {
				r := fill(t, c, content.Digest, &source{})
				defer closeReader(t, r)
				at := int64(i) * 200_000
				if _, err := r.Seek(at, io.SeekStart); err != nil {
					t.Error(err)
				}
				if got, err := io.ReadAll(r); err != nil || string(got) != string(content.Bytes[at:]) {
					t.Errorf("from %d: %d bytes, %v", at, len(got), err)
				}
			})
		}
		wantContent(t, first, content.Bytes)
		clients.Wait()
		if src.sent != int64(len(content.Bytes)) || src.open != 0 {
			t.Errorf("%d bytes were sent of %d, %d connections are open", src.sent, len(content.Bytes), src.open)
		}
	})
}

// TestSegmentMetrics: each segment is counted once, and every connection that was opened is
// closed.
func TestSegmentMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewRegistry()
		c := newContents(t, openDisk(t), cache.ContentOptions{Metrics: cache.NewMetrics(registry, nil)})
		content := storetest.Random(1, 2<<20)
		src := &narrow{content: content.Bytes, lanes: cache.NewLanes(3, segment)}
		src.spoil = func(n int, _ *cache.Part) error {
			if n == 4 {
				return errCut
			}
			return nil
		}
		r := fill(t, c, content.Digest, src)
		time.Sleep(time.Second)
		synctest.Wait()
		now, _ := src.connections()
		wantMetric(t, registry, "berth_fill_connections", fmt.Sprintf("berth_fill_connections %d\n", now))
		wantContent(t, r, content.Bytes)
		synctest.Wait()
		done := 0
		for n, ask := range src.told() {
			if ask.Length >= 0 && n != 4 {
				done++
			}
		}
		want := fmt.Sprintf("berth_fill_segments_total{result=\"broken\"} 0\nberth_fill_segments_total{result=\"done\"} %d\n", done)
		for result, n := range map[string]int{"refused": 1, "slow": 0, "stopped": 0} {
			want += fmt.Sprintf("berth_fill_segments_total{result=%q} %d\n", result, n)
		}
		wantMetric(t, registry, "berth_fill_segments_total", want)
		wantMetric(t, registry, "berth_fill_connections", "berth_fill_connections 0\n")
	})
}

// wantMetric compares one metric with lines of the text format, its help apart.
func wantMetric(t *testing.T, registry *prometheus.Registry, name, lines string) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			lines = fmt.Sprintf("# HELP %s %s\n# TYPE %s %s\n", name, f.GetHelp(), name, strings.ToLower(f.GetType().String())) + lines
		}
	}
	if err := testutil.GatherAndCompare(registry, strings.NewReader(lines), name); err != nil {
		t.Error(err)
	}
}
