package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
)

// noLogin is what an operator can do about an upstream that wants a login.
const noLogin = "login required; set username and password of upstream "

// judge turns an answer that is not the content into an Error. Logins have been tried
// by now: a 401 or 403 of the upstream itself is final.
func (c *Client) judge(ctx context.Context, r Request, l login, f answerFault) *Error {
	e := c.fail(r, Unavailable, fmt.Sprintf("answered %d %s", f.status, http.StatusText(f.status)))
	e.Status, e.Code, e.HTML = f.status, f.code, f.html
	switch {
	case f.status == http.StatusNotFound, f.status == http.StatusGone:
		e.Class, e.Message = NotHere, c.base.Host+": not found"
		e.Repository = f.code == "NAME_UNKNOWN"
	case f.status == http.StatusTooManyRequests:
		e.limit(c.base.Host, f)
		if r.Kind == KindManifest && r.Method == http.MethodGet && !f.elsewhere {
			e.Limit = limitOf(f)
		}
	case f.elsewhere:
		e.Message = fmt.Sprintf("%s: the host it redirects to answered %d", c.base.Host, f.status)
	case f.status == http.StatusForbidden && f.html:
		e.Message = c.base.Host + ": answered 403 with a web page; a firewall or portal may be in the way"
	case f.status == http.StatusUnauthorized, f.status == http.StatusForbidden:
		c.judgeLogin(ctx, e, l, r.Repository)
	case f.status == http.StatusBadRequest, f.status == http.StatusMethodNotAllowed, f.status == http.StatusNotAcceptable:
		e.Class = NotHere
	}
	return e
}

// judgeLogin decides what a 401 or 403 of the upstream means.
func (c *Client) judgeLogin(ctx context.Context, e *Error, l login, repository string) {
	c.keys.drop(l)
	e.Repository = true
	if c.basicHeader() == "" {
		e.Class = Denied
		e.Message = c.missingOrPrivate()
		if l.header == "" && e.Status == http.StatusUnauthorized {
			e.Message = c.base.Host + ": " + noLogin + c.cfg.Name
		}
		return
	}
	if l.grant.value == "" && l.header != "" && e.Status == http.StatusForbidden {
		if good, sure := c.admits(ctx, l); sure {
			c.judgeCredential(e, good)
			return
		}
	}
	if c.keys.workedLately() { // a token that was just given counts
		// To Basic a 401 is about the login, whatever worked a minute ago; 403 is about rights.
		c.judgeCredential(e, l.grant.value != "" || e.Status == http.StatusForbidden)
		return
	}
	good, err := c.keys.good(ctx, repository)
	if err != nil {
		c.explain(ctx, e, repository, err)
		return
	}
	c.judgeCredential(e, good)
}

func (c *Client) judgeCredential(e *Error, good bool) {
	e.Repository = true
	if good {
		e.Class = Denied
		e.Message = c.base.Host + ": repository is missing, or the login of upstream " + c.cfg.Name + " may not read it"
		return
	}
	e.Class = Refused
	e.Message = c.base.Host + ": login refused; check username and password of upstream " + c.cfg.Name
}

// failed turns an error on the way to an answer into an Error.
func (c *Client) failed(ctx context.Context, r Request, err error) *Error {
	e := c.fail(r, Unavailable, "")
	c.explain(ctx, e, r.Repository, err)
	return e
}

// explain fills in the class and message that err deserves.
func (c *Client) explain(ctx context.Context, e *Error, repository string, err error) {
	e.Class, e.Err, e.Repository = Unavailable, err, false
	t, ok := errors.AsType[*tokenError](err)
	switch {
	case ctx.Err() != nil: // whatever broke, it broke because the caller left
		e.Message = c.base.Host + ": " + c.cause(ctx.Err())
	case !ok:
		e.Message = c.harmless(c.describe(c.base.Host, err))
	case t.err != nil:
		e.Message = c.harmless("token service " + c.describe(t.host, t.err))
	default:
		c.explainToken(ctx, e, repository, t)
	}
}

// explainToken is about what a token service answered.
func (c *Client) explainToken(ctx context.Context, e *Error, repository string, t *tokenError) {
	e.Status, e.Code, e.HTML = t.fault.status, t.fault.code, t.fault.html
	e.Message = c.harmless(fmt.Sprintf("token service %s: answered %d %s",
		t.host, t.fault.status, http.StatusText(t.fault.status)))
	switch {
	case t.fault.status == http.StatusTooManyRequests:
		e.limit("token service "+t.host, t.fault)
	case !t.denied():
	case c.basicHeader() == "":
		e.Class, e.Repository = Denied, true
		e.Message = c.base.Host + ": " + noLogin + c.cfg.Name
		if t.fault.status == http.StatusForbidden {
			e.Message = c.missingOrPrivate()
		}
	default:
		// The service has just refused our login, for this repository at least: what worked
		// a minute ago says nothing, or a changed password would send names elsewhere.
		good, err := c.keys.good(ctx, repository)
		if err != nil && !refused(err) {
			c.explain(ctx, e, repository, err)
			return
		}
		c.judgeCredential(e, good)
	}
}

func (c *Client) missingOrPrivate() string {
	return c.base.Host + ": repository is missing or private (if it is private, " + noLogin + c.cfg.Name + ")"
}

// limit makes e of a 429 of host.
func (e *Error) limit(host string, f answerFault) {
	e.Class, e.Limit, e.RetryAfter = Limited, RequestLimit, f.retryAfter
	if e.RetryAfter <= 0 {
		e.RetryAfter = defaultRetryAfter
	}
	e.Message = fmt.Sprintf("%s: too many requests; wait %s", host, e.RetryAfter)
	if f.text != "" {
		e.Message += ": " + f.text
	}
}

// fail begins an Error about r.
func (c *Client) fail(r Request, class Class, message string) *Error {
	return &Error{
		Upstream: c.cfg.Name, Op: r.op(), Class: class, Message: c.base.Host + ": " + message,
	}
}
