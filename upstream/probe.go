package upstream

import (
	"context"
	"net/http"
	"strings"
	"time"
)

// Report is what an upstream answers to who asks nothing in particular.
type Report struct {
	// Err is why it cannot be used as it is configured; nil if it can.
	Err *Error
	// Odd: it answers with a web page that it has no /v2/, as no registry does.
	Odd bool
	// Latency is the time to its first answer, name lookup and connection included; 0 if
	// there was none.
	Latency time.Duration
	// Certificate is when the one that it showed expires; zero without TLS or answer.
	Certificate time.Time
	// Logins are what became of the credentials, in their order; nil without any.
	Logins []LoginState
}

// LoginState is what an upstream says of a configured credential.
type LoginState int

const (
	// LoginUnasked: the upstream did not want to see it.
	LoginUnasked LoginState = iota
	// LoginGood and LoginRefused are what the upstream, or its token service, said.
	LoginGood
	LoginRefused
)

// Probe asks whether there is a registry, whether the credentials are good there, and whether
// it is, or leads to, a Berth that has the Client's name. It costs no pull.
func (c *Client) Probe(ctx context.Context) Report {
	var r Report
	a := attempt{c, c.accounts.all[0], Request{}}
	if !a.keys.anonymous() {
		r.Logins = make([]LoginState, len(c.accounts.all))
	}
	began := time.Now()
	resp, err := c.ping(ctx, "")
	if err != nil {
		r.Err = a.failed(ctx, err)
		return r
	}
	r.Latency = time.Since(began)
	if resp.TLS != nil && len(resp.TLS.PeerCertificates) > 0 {
		r.Certificate = resp.TLS.PeerCertificates[0].NotAfter
	}
	header := resp.Header
	f := c.readFault(resp)
	switch {
	case f.looped(): // a ping goes no further
		r.Err = a.fail(a.r, Looped, "is this very Berth; take upstream "+c.cfg.Name+" out of the configuration")
	case f.status == http.StatusUnauthorized:
		for i := range r.Logins { // what is public may be had without one all the same
			var err *Error
			if r.Logins[i], err = (attempt{c, c.accounts.all[i], Request{}}).probeLogin(ctx, header); r.Err == nil {
				r.Err = err
			}
		}
	case f.status == http.StatusBadRequest && c.base.Scheme == "http": // what servers answer on a port for TLS
		r.Err = a.fail(a.r, Unavailable, "answered 400 Bad Request to plain HTTP; if it speaks TLS, write https in its url")
	case f.html && f.status == http.StatusNotFound:
		r.Odd = true
	case f.html && f.status == http.StatusOK:
		r.Err = a.fail(a.r, Unavailable, "answered with a web page; it is no registry, or a portal is in the way")
	case f.status >= 500, f.status == http.StatusTooManyRequests, f.html:
		r.Err = a.judge(ctx, login{}, f)
	}
	if r.Err == nil && strings.HasPrefix(header.Get("Cache-Status"), "berth;") {
		r.Err = c.probeLoop(ctx)
	}
	return r
}

// probeLoop asks another Berth for what none has, so that it asks its own upstreams, and
// tells whether they lead back.
func (c *Client) probeLoop(ctx context.Context) *Error {
	_, fault := c.do(ctx, Request{Method: http.MethodHead, Kind: KindManifest, Repository: "berth-check", Reference: "loop"})
	if fault != nil && fault.Class == Looped {
		return fault
	}
	return nil
}

// probeLogin answers a challenge with the credential, for no repository in particular, as
// "docker login" does.
func (a attempt) probeLogin(ctx context.Context, challenge http.Header) (LoginState, *Error) {
	wanted, ok := pick(parseChallenges(challenge))
	if !ok {
		return LoginUnasked, nil
	}
	refusedLogin := func() (LoginState, *Error) {
		e := a.fail(a.r, Refused, "")
		a.judgeCredential(e, false)
		return LoginRefused, e
	}
	if wanted.scheme == "basic" {
		switch wrong, err := a.probeBasic(ctx); {
		case err != nil:
			return LoginUnasked, a.failed(ctx, err)
		case wrong:
			return refusedLogin()
		}
		return LoginGood, nil
	}
	realm, err := a.parseRealm(wanted.params["realm"])
	if err == nil {
		_, err = a.keys.fetchToken(ctx, scheme{realm: realm, service: wanted.params["service"]}, "")
	}
	switch {
	case err == nil:
		return LoginGood, nil
	case refused(err):
		return refusedLogin()
	}
	return LoginUnasked, a.failed(ctx, err)
}

// probeBasic tells whether the upstream refuses the credential.
func (a attempt) probeBasic(ctx context.Context) (wrong bool, err error) {
	secret, err := a.keys.secret(ctx)
	if err != nil {
		return false, err
	}
	resp, err := a.ping(ctx, basicOf(secret))
	if err != nil {
		return false, err
	}
	f := a.readFault(resp)
	return f.status == http.StatusUnauthorized || f.status == http.StatusForbidden && !f.html, nil
}
