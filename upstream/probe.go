package upstream

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// Report is what an upstream answers to who asks nothing in particular.
type Report struct {
	// Err is why it cannot be used as it is configured; nil if it can.
	Err *Error
	// Latency is the time to its first answer, name lookup and connection included; 0 if
	// there was none.
	Latency time.Duration
	// Certificate is when the one that it showed expires; zero without TLS or answer.
	Certificate time.Time
	// Login is what became of the credential.
	Login LoginState
}

// LoginState is what an upstream says of the configured credential.
type LoginState int

const (
	// LoginNone: there is none.
	LoginNone LoginState = iota
	// LoginUnasked: the upstream did not want to see it.
	LoginUnasked
	// LoginGood and LoginRefused are what the upstream, or its token service, said.
	LoginGood
	LoginRefused
)

// Probe asks whether there is a registry, and whether the credential is good there. It costs
// no pull.
func (c *Client) Probe(ctx context.Context) Report {
	var r Report
	if c.basicHeader() != "" {
		r.Login = LoginUnasked
	}
	began := time.Now()
	resp, err := c.ping(ctx, "")
	if err != nil {
		r.Err = c.failed(ctx, Request{}, err)
		return r
	}
	r.Latency = time.Since(began)
	if resp.TLS != nil && len(resp.TLS.PeerCertificates) > 0 {
		r.Certificate = resp.TLS.PeerCertificates[0].NotAfter
	}
	header := resp.Header
	f := c.readFault(resp)
	switch {
	case f.status == http.StatusUnauthorized:
		r.Login, r.Err = c.probeLogin(ctx, header)
	case f.status >= 500, f.status == http.StatusTooManyRequests, f.html && f.status != http.StatusNotFound:
		r.Err = c.judge(ctx, Request{}, login{}, f)
	}
	return r
}

// ping asks for /v2/, with a login unless that is empty.
func (c *Client) ping(ctx context.Context, authorization string) (*http.Response, error) {
	h := http.Header{}
	if authorization != "" {
		h.Set("Authorization", authorization)
	}
	return c.send(ctx, trip{method: http.MethodGet, url: &url.URL{Scheme: c.base.Scheme, Host: c.base.Host, Path: "/v2/"}, header: h})
}

// probeLogin answers a challenge with the credential, for no repository in particular, as
// "docker login" does.
func (c *Client) probeLogin(ctx context.Context, challenge http.Header) (LoginState, *Error) {
	basic := c.basicHeader()
	wanted, ok := pick(parseChallenges(challenge))
	switch {
	case basic == "":
		return LoginNone, nil // what is public may be had all the same
	case !ok:
		return LoginUnasked, nil
	case wanted.scheme == "basic":
		resp, err := c.ping(ctx, basic)
		if err != nil {
			return LoginUnasked, c.failed(ctx, Request{}, err)
		}
		if f := c.readFault(resp); f.status == http.StatusUnauthorized || f.status == http.StatusForbidden && !f.html {
			return c.loginRefused()
		}
		return LoginGood, nil
	}
	realm, err := c.parseRealm(wanted.params["realm"])
	if err == nil {
		_, err = c.fetchToken(ctx, scheme{realm: realm, service: wanted.params["service"]}, "")
	}
	switch {
	case err == nil:
		return LoginGood, nil
	case refused(err):
		return c.loginRefused()
	}
	return LoginUnasked, c.failed(ctx, Request{}, err)
}

func (c *Client) loginRefused() (LoginState, *Error) {
	e := c.fail(Request{}, Refused, "")
	c.judgeCredential(e, false)
	return LoginRefused, e
}
