package upstream

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// RateLimit is what an upstream last told of the limit on our pulls.
type RateLimit struct {
	// Limit is how many pulls a Window allows, Remaining how many are left of them.
	Limit, Remaining int64
	// Window is 0 where the upstream does not tell it.
	Window time.Duration
	// Source is whom the upstream counts: an address or an account; empty if not told.
	Source string
	// At is when it was told.
	At time.Time
}

// rateLimit is the last one of an upstream.
type rateLimit struct {
	mu   sync.Mutex // guards last and the metrics made of it
	last *RateLimit
}

// RateLimit returns what the upstream last told of its limit, and whether it told any:
// those who pay, and most registries, have none.
func (c *Client) RateLimit() (RateLimit, bool) {
	c.rate.mu.Lock()
	defer c.rate.mu.Unlock()
	if c.rate.last == nil {
		return RateLimit{}, false
	}
	return *c.rate.last, true
}

// noteRateLimit reads the limit from an answer of the upstream's own, to whatever request.
// A manifest that comes without says that there is none any more.
func (c *Client) noteRateLimit(r Request, resp *http.Response) {
	if !sameOrigin(resp.Request.URL, c.base) {
		return
	}
	told, ok := readRateLimit(resp.Header)
	if !ok && (r.Kind != KindManifest || resp.StatusCode != http.StatusOK) {
		return
	}
	c.rate.mu.Lock()
	defer c.rate.mu.Unlock()
	if !ok {
		c.rate.last = nil
		c.cfg.Metrics.unlimited(c.cfg.Name)
		return
	}
	told.Source = c.harmless(withoutToken(resp, told.Source))
	told.At = time.Now()
	if c.rate.last != nil && c.rate.last.Source != told.Source {
		c.cfg.Metrics.unlimited(c.cfg.Name)
	}
	c.rate.last = &told
	c.cfg.Metrics.rateLimit(c.cfg.Name, told)
}

// readRateLimit reads Docker Hub's headers, which others have taken over:
//
//	ratelimit-limit: 100;w=21600
//	ratelimit-remaining: 76;w=21600
//	docker-ratelimit-source: 192.0.2.7
func readRateLimit(h http.Header) (RateLimit, bool) {
	limit, window, ok := quota(h.Get("Ratelimit-Limit"))
	remaining, other, told := quota(h.Get("Ratelimit-Remaining"))
	if !ok || !told {
		return RateLimit{}, false
	}
	return RateLimit{Limit: limit, Remaining: remaining, Window: max(window, other), Source: h.Get("Docker-Ratelimit-Source")}, true
}

// quota reads "76;w=21600", or the number alone.
func quota(text string) (n int64, window time.Duration, ok bool) {
	number, parameters, _ := strings.Cut(text, ";")
	n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
	if err != nil || n < 0 {
		return 0, 0, false
	}
	for p := range strings.SplitSeq(parameters, ";") {
		if w, found := strings.CutPrefix(strings.TrimSpace(p), "w="); found {
			if seconds, err := strconv.ParseInt(w, 10, 32); err == nil && seconds > 0 {
				window = time.Duration(seconds) * time.Second
			}
		}
	}
	return n, window, true
}

// Limit is what an upstream has had enough of.
type Limit int

const (
	// RequestLimit is too many requests, of whatever kind.
	RequestLimit Limit = iota + 1
	// PullLimit is Docker Hub's limit on pulls, which are GETs of manifests. HEADs of
	// manifests and blobs are answered all the same.
	PullLimit
	// AbuseLimit is too many requests from one address, of all its users together.
	AbuseLimit
)

// String is the limit as messages and metrics name it.
func (l Limit) String() string {
	switch l {
	case PullLimit:
		return "pulls"
	case AbuseLimit:
		return "abuse"
	default:
		return "requests"
	}
}

// limitOf tells by its body what a 429 is about: Docker Hub's two differ in nothing else.
func limitOf(f answerFault) Limit {
	text := strings.ToLower(f.text)
	switch {
	case strings.Contains(text, "pull rate limit"):
		return PullLimit
	case f.code == "" && strings.TrimPrefix(strings.TrimSuffix(text, "."), "429 ") == "too many requests":
		return AbuseLimit
	default:
		return RequestLimit
	}
}
