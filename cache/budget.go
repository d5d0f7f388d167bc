package cache

import (
	"math/rand/v2"
	"time"
)

const (
	// maxBreaks is how many breaks a source may have; it gets one back for every
	// restoreBytes that came. So a large layer survives many, and a source that makes
	// no progress is given up after these.
	maxBreaks    = 3
	restoreBytes = 4 << 20
	// MaxOutage is how long a source may be unavailable once something came: an upstream's
	// restart, or a token service's. Clients wait as long for one that stalls.
	MaxOutage = 30 * time.Second
	// The wait before the next attempt doubles from firstBackoff to maxBackoff.
	firstBackoff = 100 * time.Millisecond
	maxBackoff   = 2 * time.Second
)

// budget is how often, and for how long, a source may yet fail.
type budget struct {
	// spent is the number of breaks that were not made good, since the offset up to which
	// progress was.
	spent, since int64
	// begun is how much there was when the source came into use: by others' doing, of whom
	// nobody may be left.
	begun int64

	// out is when the source turned out to be unavailable, after so many bytes, and tries
	// how often it did since.
	out   time.Time
	after int64
	tries int
}

// spend takes a break at the offset arrived into account and returns how long to wait
// before the next attempt; false means that there is none.
func (b *budget) spend(arrived int64) (time.Duration, bool) {
	restored := (arrived - b.since) / restoreBytes
	b.since += restored * restoreBytes
	b.spent = max(0, b.spent-restored) + 1
	if b.spent > maxBreaks {
		return 0, false
	}
	return apart(firstBackoff << (b.spent - 1)), true
}

// outlast is spend for a source that cannot be opened at the offset arrived. At the
// beginning, and where a paused fill goes on, nobody has anything yet: who asked is told at once.
func (b *budget) outlast(arrived int64) (time.Duration, bool) {
	now := time.Now()
	if b.out.IsZero() || arrived > b.after {
		b.out, b.after, b.tries = now, arrived, 0
	}
	if arrived == b.begun || now.Sub(b.out) >= MaxOutage {
		return 0, false
	}
	b.tries++
	return apart(min(firstBackoff<<min(b.tries-1, 10), maxBackoff)), true
}

// apart is between half and all of backoff: fills that broke together come back apart.
func apart(backoff time.Duration) time.Duration {
	return backoff/2 + rand.N(backoff/2)
}
