package cache_test

import (
	"context"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/berth-cache/berth/cache"
	"github.com/berth-cache/berth/cache/storetest"
)

func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openDisk(t)
		registry := prometheus.NewPedanticRegistry()
		c := newContents(t, s, cache.ContentOptions{Metrics: cache.NewMetrics(registry, s.Usage), Orphans: -1})
		good, paused := storetest.Random(1, 1000), storetest.Random(2, 1000)
		src, feed := fedSource(good)
		first, second := fill(t, c, good.Digest, src), fill(t, c, good.Digest, src)
		wantMetrics(t, registry, "berth_fills_running 1")
		feed <- good.Bytes
		wantContent(t, first, good.Bytes)
		wantContent(t, second, good.Bytes)

		cut := &source{content: paused.Bytes}
		cut.answer = func(ctx context.Context, n int, offset int64) (cache.Part, error) {
			if n == 0 {
				return cut.cut(offset, 500), nil
			}
			part := cut.part(offset)
			part.Body = io.NopCloser(&fed{ctx: ctx})
			return part, nil
		}
		closeLater := fill(t, c, paused.Digest, cut)
		if _, err := closeLater.CopyN(io.Discard, 500); err != nil {
			t.Fatal(err)
		}
		closeReader(t, closeLater)
		synctest.Wait()
		wantMetrics(t, registry, "berth_fills_running 0")

		for _, content := range []storetest.Content{storetest.Random(3, 10), storetest.Random(4, 10)} {
			if _, err := readFill(t, c, content.Digest, &source{content: good.Bytes}); err == nil {
				t.Error("other bytes: no error")
			}
		}
		finish(t, c) // abandons the paused one
		wantMetrics(t, registry,
			"berth_content_bytes 1000", "berth_content_objects 1",
			"berth_fills_started_total 4", "berth_fills_joined_total 1", "berth_fills_running 0",
			`berth_fills_failed_total{reason="abandoned"} 1`, `berth_fills_failed_total{reason="digest"} 2`,
			`berth_fills_failed_total{reason="length"} 0`, `berth_fills_failed_total{reason="source"} 0`,
			`berth_fills_failed_total{reason="store"} 0`,
		)
	})
}

// wantMetrics looks for lines in what is exposed.
func wantMetrics(t *testing.T, registry *prometheus.Registry, lines ...string) {
	t.Helper()
	problems, err := testutil.GatherAndLint(registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("lint: %v, %v", problems, err)
	}
	answer := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
	for _, line := range lines {
		if exposed := answer.Body.String(); !strings.Contains(exposed, "\n"+line+"\n") {
			t.Errorf("no %q in\n%s", line, exposed)
		}
	}
}
