package upstreamtest

import (
	"math"
	"net/http"
	"time"
)

// Limit is a way to say 429. The bodies are Docker Hub's, docker/docs
// content/manuals/docker-hub/usage/pulls.md; all it is told apart by.
type Limit int

// The ways that there are.
const (
	// PlainLimit is on all requests, in the form of the distribution API.
	PlainLimit Limit = iota
	// PullLimit is on pulls, which are GETs of manifests.
	PullLimit
	// AbuseLimit is on all requests of an address, and no more than a sentence.
	AbuseLimit
)

// pullWindow is for how long Docker Hub counts.
const pullWindow = 6 * time.Hour

// limits say what a registry has had enough of.
type limits struct {
	what  Limit
	until time.Time
	// pulls is how many are allowed in a window, 0 is any number; used are those since began.
	pulls, used int
	began       time.Time
	last        time.Time // the last pull
}

// Limit makes the registry answer 429 for so long.
func (r *Registry) Limit(what Limit, d time.Duration) {
	r.limit(func(l *limits) { l.what, l.until = what, time.Now().Add(d) })
}

// Pulls allows n pulls in six hours and tells of it in the headers of manifests, as Docker
// Hub does; docker/docs content/manuals/docker-hub/usage/pulls.md. Zero ends both, as for
// accounts that pay.
func (r *Registry) Pulls(n int) {
	r.limit(func(l *limits) { l.pulls, l.used, l.began = n, 0, time.Now() })
}

func (r *Registry) limit(change func(*limits)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.limits)
}

// limited answers a request that is one too many.
func (r *Registry) limited(w http.ResponseWriter, q *http.Request, op operation) bool {
	what, wait := r.count(w.Header(), q, op)
	if wait <= 0 {
		return false
	}
	if r.setting().countdown {
		w.Header().Set("Retry-After", itoa(int64(math.Ceil(wait.Seconds()))))
	}
	switch what {
	case PullLimit:
		refuse(w, http.StatusTooManyRequests, "TOOMANYREQUESTS", "You have reached your pull rate limit. "+
			"You may increase the limit by authenticating and upgrading: https://www.docker.com/increase-rate-limit")
	case AbuseLimit:
		http.Error(w, "429 Too Many Requests", http.StatusTooManyRequests)
	default:
		refuse(w, http.StatusTooManyRequests, "TOOMANYREQUESTS", "Rate exceeded")
	}
	return true
}

// count takes a request into account, and returns how long it comes too early and by what
// limit. What Docker Hub tells of its own goes into h.
func (r *Registry) count(h http.Header, q *http.Request, op operation) (Limit, time.Duration) {
	pull := op.kind == kindManifest && q.Method == http.MethodGet
	r.mu.Lock()
	defer r.mu.Unlock()
	l, now := &r.limits, time.Now()
	if l.pulls > 0 && op.kind == kindManifest {
		if now.Sub(l.began) >= pullWindow {
			l.used, l.began = 0, now
		}
		if pull {
			l.used++
		}
		told := ";w=" + itoa(int64(pullWindow.Seconds()))
		h.Set("Ratelimit-Limit", itoa(int64(l.pulls))+told)
		h.Set("Ratelimit-Remaining", itoa(int64(max(0, l.pulls-l.used)))+told)
		h.Set("Docker-Ratelimit-Source", "192.0.2.7")
		if pull && l.used > l.pulls {
			return PullLimit, l.began.Add(pullWindow).Sub(now)
		}
	}
	if pull && r.switches.pace > 0 {
		next := l.last.Add(r.switches.pace)
		if l.last = now; now.Before(next) {
			return PlainLimit, next.Sub(now)
		}
	}
	if l.what == PullLimit && !pull {
		return 0, 0
	}
	return l.what, l.until.Sub(now)
}
