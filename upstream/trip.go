package upstream

import (
	"net/http"
	"net/url"
)

// trip is a request on its way: where to, and what it carries.
type trip struct {
	method string
	url    *url.URL
	header http.Header
	// form is the body of a POST.
	form string
	// blob: the answer is large; see carrier.
	blob bool
	// alone: over a connection that nothing else is sent over at the same time, and once:
	// whoever asks like this has other ways to the bytes.
	alone bool
	// rank is its place among those who wait for a turn.
	rank rank
	// repository is what it is about, if anything; aside: a blob of that, without which
	// tags can be checked.
	repository string
	aside      bool
	// goesOn: for the rest of what has begun to arrive.
	goesOn bool
	// tokens: asks a token service.
	tokens bool
	// redirected: not to where the upstream is, but to where it said.
	redirected bool
	// allow decides about a redirect beyond the general rules; nil allows it.
	allow func(from, to *url.URL) error
}

// trip is the request with its headers.
func (c *Client) trip(r Request, l login) trip {
	h := http.Header{}
	switch r.Kind {
	case KindManifest:
		h.Set("Accept", acceptManifests)
	case KindTags:
		h.Set("Accept", "application/json")
	case KindReferrers:
		h.Set("Accept", "application/vnd.oci.image.index.v1+json")
	default:
		h.Set("Accept", "*/*")
	}
	if rng := r.rangeHeader(); rng != "" {
		h.Set("Range", rng)
	}
	if l.header != "" {
		h.Set("Authorization", l.header)
	}
	c.mark(h, r.Through)
	t := trip{
		method: r.Method, url: r.url(c.base), header: h,
		blob: r.Kind == KindBlob && r.Method == http.MethodGet, alone: r.Length > 0,
		goesOn: r.Offset > 0, repository: r.Repository, aside: r.Kind == KindBlob, rank: first,
	}
	switch {
	case r.Check:
		t.rank = idle
	case t.blob:
		t.rank = bulk
	}
	return t
}

// service is what a breaker is about: a host, or the token service there.
func (t trip) service(host string) string {
	if t.tokens {
		return "tokens of " + host
	}
	return host
}

// hop is a part of the trip.
func (t trip) hop(at *url.URL, header http.Header, redirected bool) trip {
	t.url, t.header, t.redirected = at, header, redirected
	return t
}
