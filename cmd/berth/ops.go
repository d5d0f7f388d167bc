package main

import (
	"fmt"
	"net/http"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// readiness tells whether this process wants traffic.
type readiness struct{ ready atomic.Bool }

// opsHandler serves what operators ask: metrics, the two health checks, and profiles.
// ill yields a line for each host of an upstream that is ill.
func opsHandler(metrics prometheus.Gatherer, r *readiness, profiles bool, ill func() []string) http.Handler {
	mux := http.NewServeMux()
	handleProfiles(mux, profiles)
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		// An upstream's trouble does not count: what we hold is served all the same.
		if !r.ready.Load() {
			http.Error(w, "stopping", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
		for _, line := range ill() {
			fmt.Fprintln(w, line)
		}
	})
	return mux
}
