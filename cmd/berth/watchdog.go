package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/berth-cache/berth/state"
)

// checkBound is how long the state, and a ping, may take to answer the watchdog. A state in
// trouble answers with an error in time, which is fine: pulls go on without it.
const checkBound = 5 * time.Second

// lateBound is how much longer than its bound the state may take to say so.
const lateBound = time.Second

// watchdog tells the manager that we are alive for as long as we are: one that stops telling
// is killed and started anew.
type watchdog struct {
	manager *manager
	facts   state.Store
	handler http.Handler
	every   time.Duration // 0 is never
}

// watchEvery is half of the time in which the manager wants to hear of this process, 0 if
// it does not.
func watchEvery(env func(string) string) time.Duration {
	if pid := env("WATCHDOG_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0
	}
	micros, err := strconv.ParseInt(env("WATCHDOG_USEC"), 10, 64)
	if err != nil || micros <= 0 {
		return 0
	}
	return time.Duration(micros) * time.Microsecond / 2
}

// run checks and tells until ctx ends. A check that hangs hangs run, and is what the
// manager is for.
func (w *watchdog) run(ctx context.Context) {
	if w.every == 0 {
		return
	}
	tick := time.NewTicker(w.every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if err := w.check(ctx); err != nil {
			w.manager.logger.Error("watchdog: the check failed, the service manager is not told that all is well", "error", err)
			continue
		}
		w.manager.alive()
	}
}

// check asks what every pull needs.
func (w *watchdog) check(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, checkBound)
	defer cancel()
	began := time.Now()
	_, err := w.facts.Get(bounded, "watchdog")
	// An error is told of by the state itself; that it comes in time is what counts.
	if took := time.Since(began); took > checkBound+lateBound {
		return fmt.Errorf("state answered after %s: %v", took, err) //nolint:errorlint // perhaps none
	}
	r, err := http.NewRequestWithContext(bounded, http.MethodGet, "/v2/", http.NoBody)
	if err != nil {
		return err
	}
	r.Header.Set("User-Agent", "berth-watchdog")
	answer := &silent{header: http.Header{}}
	w.handler.ServeHTTP(answer, r)
	if answer.status != http.StatusOK {
		return fmt.Errorf("ping: status %d", answer.status)
	}
	return nil
}

// silent is an answer that nobody reads.
type silent struct {
	header http.Header
	status int
}

var _ http.ResponseWriter = (*silent)(nil)

func (s *silent) Header() http.Header { return s.header }

func (s *silent) WriteHeader(status int) { s.status = status }

func (s *silent) Write(p []byte) (int, error) { return len(p), nil }
