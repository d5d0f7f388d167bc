package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

const maxRedirects = 5

// errRedirect says that a redirect was not followed.
var errRedirect = errors.New("redirect not followed")

// follow sends the request and goes where redirects lead. Once the scheme, host or port
// has changed Authorization is gone for good, even if a later hop leads back; so is CDN-Loop
// behind the upstream's API.
func (c *Client) follow(ctx context.Context, t trip) (*http.Response, error) {
	at, header := t.url, t.header.Clone()
	for hops := 0; ; hops++ {
		resp, err := c.roundTrip(ctx, t.hop(at, header, hops > 0))
		if err != nil {
			return nil, err
		}
		if resp.StatusCode < 300 || resp.StatusCode > 399 {
			return resp, nil
		}
		next, err := redirectTarget(resp, at)
		discard(resp)
		switch {
		case err != nil:
			return nil, err
		case hops == maxRedirects:
			return nil, fmt.Errorf("%w: more than %d of them", errRedirect, maxRedirects)
		case t.allow != nil:
			if err := t.allow(at, next); err != nil {
				return nil, err
			}
		}
		if !sameOrigin(at, next) {
			header.Del("Authorization")
		}
		if !c.isAPI(next) {
			header.Del(loopHeader)
		}
		at = next
	}
}

// redirectTarget says where a redirect from one URL leads. Its errors name hosts and never
// the rest, since the query of a signed URL is a secret.
func redirectTarget(resp *http.Response, from *url.URL) (*url.URL, error) {
	switch resp.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
		http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		return nil, fmt.Errorf("%w: status %d from %s", errRedirect, resp.StatusCode, from.Host)
	}
	location := resp.Header.Get("Location")
	next, err := from.Parse(location)
	if err != nil || location == "" || next.Hostname() == "" {
		return nil, fmt.Errorf("%w: %s names no target", errRedirect, from.Host)
	}
	next.User, next.Fragment, next.Scheme = nil, "", strings.ToLower(next.Scheme)
	switch {
	case next.Scheme != "http" && next.Scheme != "https":
		return nil, fmt.Errorf("%w: %s leads to a scheme other than http", errRedirect, from.Host)
	case next.Scheme == "http" && from.Scheme == "https":
		return nil, fmt.Errorf("%w: %s leads from https to http", errRedirect, from.Host)
	case next.String() == from.String():
		return nil, fmt.Errorf("%w: %s leads in a circle", errRedirect, from.Host)
	}
	return next, nil
}
