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
func (a attempt) judge(ctx context.Context, l login, f answerFault) *Error {
	e := a.fail(a.r, Unavailable, fmt.Sprintf("answered %d %s", f.status, http.StatusText(f.status)))
	e.Status, e.Code, e.HTML = f.status, f.code, f.html
	switch {
	case f.status == http.StatusNotFound, f.status == http.StatusGone:
		e.Class, e.Message = NotHere, a.base.Host+": not found"
		e.Repository = f.code == "NAME_UNKNOWN"
	case f.status == http.StatusTooManyRequests:
		e.limit(a.base.Host, f)
		if a.r.IsPull() && !f.elsewhere {
			e.Limit = limitOf(f)
		}
	case f.looped():
		e.Class = Looped
		e.Message = fmt.Sprintf("%s: leads back to a cache that has asked already (508 Loop Detected): "+
			"take upstream %s out of the configuration here, or what leads back out of that of %s", a.base.Host, a.cfg.Name, a.base.Host)
	case f.elsewhere:
		e.Message = fmt.Sprintf("%s: the host it redirects to answered %d", a.base.Host, f.status)
	case f.status == http.StatusForbidden && f.html:
		e.Message = a.base.Host + ": answered 403 with a web page; a firewall or portal may be in the way"
	case f.status == http.StatusUnauthorized, f.status == http.StatusForbidden:
		a.judgeLogin(ctx, e, l)
	case f.status == http.StatusBadRequest, f.status == http.StatusMethodNotAllowed, f.status == http.StatusNotAcceptable:
		e.Class = NotHere
	}
	return e
}

// judgeLogin decides what a 401 or 403 of the upstream means.
func (a attempt) judgeLogin(ctx context.Context, e *Error, l login) {
	a.keys.drop(l)
	e.Repository = true
	if a.keys.anonymous() {
		e.Class = Denied
		e.Message = a.missingOrPrivate()
		if l.header == "" && e.Status == http.StatusUnauthorized {
			e.Message = a.base.Host + ": " + noLogin + a.cfg.Name
		}
		return
	}
	if l.grant.value == "" && l.header != "" && e.Status == http.StatusForbidden {
		if good, sure := a.admits(ctx, l); sure {
			a.judgeCredential(e, good)
			return
		}
	}
	if a.keys.workedLately() { // a token that was just given counts
		// To Basic a 401 is about the login, whatever worked a minute ago; 403 is about rights.
		a.judgeCredential(e, l.grant.value != "" || e.Status == http.StatusForbidden)
		return
	}
	good, err := a.keys.good(ctx, a.r.Repository)
	if err != nil {
		a.explain(ctx, e, err)
		return
	}
	a.judgeCredential(e, good)
}

func (a attempt) judgeCredential(e *Error, good bool) {
	e.Repository = true
	if good {
		e.Class = Denied
		e.Message = a.base.Host + ": repository is missing, or the login of upstream " + a.cfg.Name + " may not read it"
		return
	}
	e.Class = Refused
	e.Message = a.base.Host + ": login refused; " + a.keys.source.cure + " of upstream " + a.cfg.Name
}

// failed turns an error on the way to an answer into an Error.
func (a attempt) failed(ctx context.Context, err error) *Error {
	e := a.fail(a.r, Unavailable, "")
	a.explain(ctx, e, err)
	return e
}

// explain fills in the class and message that err deserves.
func (a attempt) explain(ctx context.Context, e *Error, err error) {
	e.Class, e.Err, e.Repository = Unavailable, err, false
	t, ok := errors.AsType[*tokenError](err)
	found, sought := errors.AsType[*lookupError](err)
	switch {
	case ctx.Err() != nil && !errors.Is(err, ErrQueue): // whatever broke, it broke because the caller left
		e.Message = a.base.Host + ": " + a.cause(ctx.Err())
	case sought:
		e.Message = a.base.Host + ": " + found.Error()
	case !ok:
		e.Message = a.harmless(a.describe(a.base.Host, err))
	case t.err != nil:
		e.Message = a.harmless("token service " + a.describe(t.host, t.err))
	default:
		a.explainToken(ctx, e, t)
	}
}

// explainToken is about what a token service answered.
func (a attempt) explainToken(ctx context.Context, e *Error, t *tokenError) {
	e.Status, e.Code, e.HTML = t.fault.status, t.fault.code, t.fault.html
	e.Message = a.harmless(fmt.Sprintf("token service %s: answered %d %s",
		t.host, t.fault.status, http.StatusText(t.fault.status)))
	switch {
	case t.fault.status == http.StatusTooManyRequests:
		e.limit("token service "+t.host, t.fault)
	case !t.denied():
	case a.keys.anonymous():
		e.Class, e.Repository = Denied, true
		e.Message = a.base.Host + ": " + noLogin + a.cfg.Name
		if t.fault.status == http.StatusForbidden {
			e.Message = a.missingOrPrivate()
		}
	default:
		// The service has just refused our login, for this repository at least: what worked
		// a minute ago says nothing, or a changed password would send names elsewhere.
		good, err := a.keys.good(ctx, a.r.Repository)
		if err != nil && !refused(err) {
			a.explain(ctx, e, err)
			return
		}
		a.judgeCredential(e, good)
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
