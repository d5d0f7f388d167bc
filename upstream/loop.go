package upstream

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// loopHeader names the caches that a request came through (RFC 8586), so that one that is
// its own upstream, or that of an upstream, finds out.
const loopHeader = "CDN-Loop"

// mark adds to a header that we, too, are one of them.
func (c *Client) mark(h http.Header, through []string) {
	if c.cfg.Instance != "" {
		h.Set(loopHeader, strings.Join(append(slices.Clip(through), c.cfg.Instance), ", "))
	}
}

// isAPI tells whether u is of the upstream's API, where a redirect from http to https leads as
// well. Storage and other hosts need not know whom a request came through.
func (c *Client) isAPI(u *url.URL) bool {
	return strings.EqualFold(u.Hostname(), c.base.Hostname()) && strings.HasPrefix(u.Path, "/v2/")
}
