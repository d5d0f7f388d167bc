package upstream

import (
	"context"
	"net/http"
	"net/url"
)

// admits asks whether a login is good for anything at all, and tells whether the answer is
// to be relied on. To Basic, 403 may be about the rights on a repository or about the login:
// ECR says it of a password that is twelve hours old, to a HEAD without a word.
func (c *Client) admits(ctx context.Context, l login) (good, sure bool) {
	resp, err := c.ping(ctx, l.header)
	if err != nil {
		return false, false
	}
	f := c.readFault(resp)
	good = f.status == http.StatusOK
	return good, !f.html && !f.elsewhere && (good || f.unauthorised())
}

// ping asks for /v2/, with a login unless that is empty.
func (c *Client) ping(ctx context.Context, authorization string) (*http.Response, error) {
	h := http.Header{}
	if authorization != "" {
		h.Set("Authorization", authorization)
	}
	c.mark(h, nil)
	return c.send(ctx, trip{method: http.MethodGet, url: &url.URL{Scheme: c.base.Scheme, Host: c.base.Host, Path: "/v2/"}, header: h, rank: logins})
}
