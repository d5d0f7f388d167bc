package upstreamtest

import "net/http"

// Stop breaks every connection before an answer, the token service's too, as if the
// registry were down. Nothing is written down until Resume.
func (r *Registry) Stop() { r.set(func(s *switches) { s.down = true }) }

// Resume ends Stop.
func (r *Registry) Resume() { r.set(func(s *switches) { s.down = false }) }

// StopTokens is Stop for the token service alone.
func (r *Registry) StopTokens() { r.set(func(s *switches) { s.tokensDown = true }) }

// ResumeTokens ends StopTokens.
func (r *Registry) ResumeTokens() { r.set(func(s *switches) { s.tokensDown = false }) }

// MissingAs401 makes repositories that do not exist answer 401 instead of 404, even to a
// good token, as Docker Hub does.
func (r *Registry) MissingAs401(on bool) {
	status := 0
	if on {
		status = http.StatusUnauthorized
	}
	r.set(func(s *switches) { s.anonymous.resource, s.member.resource = status, status })
}

// Referrers turns the referrers API on or off; off answers 404. It is on at first.
func (r *Registry) Referrers(on bool) { r.set(func(s *switches) { s.noReferrers = !on }) }

// RefuseHead makes HEAD answer 405.
func (r *Registry) RefuseHead(on bool) { r.set(func(s *switches) { s.noHead = on }) }

// IgnoreRanges makes ranges be answered with 200 and the whole content.
func (r *Registry) IgnoreRanges(on bool) { r.set(func(s *switches) { s.noRanges = on }) }

// RedirectBlobs makes blobs answer 307 to base/storage/<digest>?signature=secret, where
// base is a URL without a final slash that serves Storage. An empty base ends it.
func (r *Registry) RedirectBlobs(base string) { r.set(func(s *switches) { s.storage = base }) }

func (r *Registry) set(change func(*switches)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.switches)
}
