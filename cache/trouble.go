package cache

import (
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/maypok86/otter/v2"
	"github.com/opencontainers/go-digest"

	"github.com/berth-cache/berth/cache/store"
)

// refuseFor is how long content that the store could not take is not offered to it again:
// a fill that fails costs a request upstream, besides the one that passes the content.
const refuseFor = 10 * time.Second

// trouble is what Contents knows of a store that does not take content: which content, so
// that it is passed through at once, and when the log was last told.
type trouble struct {
	refused *otter.Cache[digest.Digest, refusal]
	log     *slog.Logger
	metrics *Metrics
	told    atomic.Int64 // unix nanoseconds
}

// refusal is that the store did not take a content, because of cause.
type refusal struct {
	cause error
	until time.Time
}

func newTrouble(log *slog.Logger, m *Metrics) *trouble {
	// Where more content than this fails in ten seconds, a request more does not matter.
	return &trouble{refused: otter.Must(&otter.Options[digest.Digest, refusal]{MaximumSize: 10_000}), log: log, metrics: m}
}

func (t *trouble) close() { t.refused.StopAllGoroutines() }

// failed notes that a fill of d failed: with the store, if err is an ErrStore.
func (t *trouble) failed(d digest.Digest, err error) {
	t.metrics.fail(err)
	if !errors.Is(err, ErrStore) {
		return
	}
	t.refused.Set(d, refusal{err, time.Now().Add(refuseFor)})
	t.complain(d, err)
}

// refuses returns why the store did not take d a moment ago, or nil.
func (t *trouble) refuses(d digest.Digest) error {
	r, ok := t.refused.GetIfPresent(d)
	// A clock set back must not keep the store from being asked.
	if left := time.Until(r.until); !ok || left <= 0 || left > refuseFor {
		return nil
	}
	return fmt.Errorf("fill %s: a moment ago: %w", d, r.cause)
}

// unstored counts a pull of d that goes on without the store, because of cause.
func (t *trouble) unstored(d digest.Digest, cause error) {
	t.metrics.pass(cause)
	t.complain(d, cause)
}

// complain logs trouble with the store, now and then: while it lasts, every pull has it.
func (t *trouble) complain(d digest.Digest, err error) {
	reason := storeReason(err)
	if reason == reasonTooLarge {
		t.log.Debug("content is larger than all that may be held, it is passed on", "digest", d, "error", err)
		return
	}
	now, last := time.Now().UnixNano(), t.told.Load()
	if since := now - last; since >= 0 && since < int64(complainEvery) || !t.told.CompareAndSwap(last, now) {
		return
	}
	t.log.Error("content is not stored, pulls go on without", "reason", reason, "digest", d, "error", err)
}

// The reasons of berth_unstored_pulls_total.
const (
	reasonFull     = "full"
	reasonTooLarge = "too_large" // as configured: nobody has to do anything
	reasonReadOnly = "read_only"
	reasonFiles    = "open_files"
	reasonOther    = "other"
)

// storeReason classes an error of the store by what a person has to do about it.
func storeReason(err error) string {
	switch {
	case errors.Is(err, store.ErrTooLarge):
		return reasonTooLarge
	case errors.Is(err, store.ErrFull), errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return reasonFull
	case errors.Is(err, syscall.EROFS), errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return reasonReadOnly
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return reasonFiles
	}
	return reasonOther
}
