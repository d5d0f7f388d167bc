package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// exchange is one request to a host, until its answer's header.
type exchange struct {
	breaker *breaker
	began   time.Time
	about   string // the repository
	timer   *time.Timer
	// extra: over one connection more than it takes, which the host need not like.
	extra bool
}

// late is when an exchange has had no answer for a while.
func (x *exchange) late() {
	b := x.breaker
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.trial == x:
		b.leave()
	case !b.down && !b.slow && !b.answered.After(x.began):
		b.slow = true
		b.blame(x.began, "no answer in time")
		b.tell(isSlow, "upstream is slow, what is held is served without waiting for it")
	}
}

// end tells how the exchange ended: with an answer, or an error that is not ctx's.
func (x *exchange) end(ctx context.Context, resp *http.Response, err error, reason func(error) string) {
	b := x.breaker
	if x.timer != nil {
		x.timer.Stop()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.running--
	_, refused := errors.AsType[*addressError](err)
	switch {
	case err == nil && !faulty(resp.StatusCode):
		b.well(x)
	case err == nil:
		b.answered = time.Now()
		b.fail(x, weightFault, fmt.Sprintf("answered %d", resp.StatusCode))
	case refused, x.extra, ctx.Err() != nil && time.Since(x.began) < slowAfter:
		// None says anything about the host.
		if b.trial == x {
			b.trial = nil
		}
	case time.Since(x.began) >= slowAfter:
		if b.trial == x || !b.answered.After(x.began) {
			b.fail(x, enough, reason(err))
		}
	default:
		b.fail(x, weightBroken, reason(err))
	}
}

// faulty says that an answer is the host's trouble.
func faulty(status int) bool {
	switch status {
	case http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}
