package main

import (
	"net/http"
	"net/http/pprof"
)

const noProfiles = "profiles are off: they tell what berth does and how it was started, and slow it down.\n" +
	"`pprof: true` serves them to whoever reaches `ops`; without it they are served where `ops` is a loopback address\n"

// handleProfiles serves Go's profiles below /debug/pprof/, or says why not.
func handleProfiles(mux *http.ServeMux, on bool) {
	if !on {
		mux.HandleFunc("GET /debug/pprof/", func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, noProfiles, http.StatusNotFound)
		})
		return
	}
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
}
