package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/berth-cache/berth/config"
)

const (
	// lookEvery is how often the files of the configuration are looked at. What changed is
	// taken when it stood for one look, so that no half-written file is.
	lookEvery = 2 * time.Second
	// expiresSoon is how long before the end of a certificate is warned of that.
	expiresSoon = 14 * 24 * time.Hour
)

// reloader applies what changes in the configuration to a running cache.
type reloader struct {
	from    source
	cache   *berth
	doors   *doors
	metrics *reloadMetrics
	manager *manager
	// started is what keys that need a restart are compared with, current what holds.
	started, current *config.Config
	seen             []config.File // at the last look
	failure          string        // of the last load; empty when that was applied
	warned           time.Time     // when the certificate's end was last warned of
}

// run reads the configuration again when hangup says so or its files have changed, until
// ctx ends.
func (r *reloader) run(ctx context.Context, hangup <-chan os.Signal) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	r.warnOfExpiry()
	for {
		select {
		case <-hangup:
			r.reload(true)
		case <-tick.C:
			r.look()
			r.warnOfExpiry()
		case <-ctx.Done():
			return
		}
	}
}

// look reloads when what the files hold has changed and stands. After a refusal it tries at
// each look: the cure may be in a file that was not read for the fault before it.
func (r *reloader) look() {
	now := asTheyAre(r.current.Files)
	stands := slices.Equal(now, r.seen)
	r.seen = now
	if stands && (r.failure != "" || !slices.Equal(now, r.current.Files)) {
		r.reload(false)
	}
}

// reload reads the configuration and applies all of it or nothing. A refusal is told again
// only if it was asked for or is another.
func (r *reloader) reload(asked bool) {
	if r.from.path == "" {
		r.cache.logger.Info("there is no configuration file to read again")
		r.manager.reloading()
		r.manager.ready("") // or the service manager waits for it
		return
	}
	if asked || r.failure == "" {
		r.manager.reloading()
	}
	next, err := r.from.again()
	if err == nil && next.Empty && !r.current.Empty { // a slip, or a full disk: nobody means all defaults
		err = config.Faults{{File: r.from.path, Message: "is empty; write {} into it to have all defaults"}}
	}
	if err == nil {
		err = r.apply(next)
	}
	if err != nil && !asked && err.Error() == r.failure {
		return
	}
	r.metrics.count(err == nil)
	if err != nil {
		r.failure = err.Error()
		r.refuse(err)
		r.manager.ready("the configuration is faulty, the one before holds")
		return
	}
	r.failure = ""
	r.cache.logger.Info("configuration applied", "file", r.from.path, "upstreams", len(next.Upstreams), "registries", len(next.Registries))
	r.manager.ready("")
}

func (r *reloader) refuse(err error) {
	const message = "configuration refused, the one before holds"
	faults, ok := errors.AsType[config.Faults](err)
	if !ok {
		r.cache.logger.Error(message, "error", err)
		return
	}
	for _, f := range faults {
		r.cache.logger.Error(message, "file", f.File, "line", f.Line, "key", f.Key, "fault", f.Message)
	}
}

// apply makes next what holds. Requests under way go on with what they began with.
func (r *reloader) apply(next *config.Config) error {
	if err := r.cache.reconfigure(next); err != nil {
		return err
	}
	r.doors.reconfigure(next)
	r.current = next
	if keys := needRestart(r.started, next); len(keys) > 0 {
		r.cache.logger.Warn("these keys changed and are used at the next start", "keys", keys)
	}
	return nil
}

// needRestart names the keys that differ and that a running process cannot change.
func needRestart(started, next *config.Config) []string {
	var keys []string
	for _, k := range []struct {
		name string
		same bool
	}{
		{"listen", started.Listen == next.Listen},
		{"tls", (started.TLS.Cert == "") == (next.TLS.Cert == "")},
		{"ops", started.Ops == next.Ops},
		{"pprof", started.PProf == next.PProf},
		{"data", started.Data == next.Data},
		{"state", started.State.Redis.Equal(next.State.Redis)},
		{"log.format", started.Log.Format == next.Log.Format},
	} {
		if !k.same {
			keys = append(keys, k.name)
		}
	}
	return keys
}

// warnOfExpiry tells once a day that the certificate is about to expire, or has.
func (r *reloader) warnOfExpiry() {
	c := r.doors.certificate
	if c == nil || time.Until(c.Expires()) > expiresSoon || time.Since(r.warned) < 24*time.Hour {
		return
	}
	r.warned = time.Now()
	r.cache.logger.Warn("the certificate expires; put a renewed one in its place", slog.Time("at", c.Expires()), "file", r.current.TLS.Cert)
}
