package upstream

import (
	"context"
	"fmt"
	"net/http"
)

// maxLogins is how often one request is sent at most for the sake of its login: bare, with
// a token that was held, with a fresh one.
const maxLogins = 3

// attempt is a request that is made with one credential.
type attempt struct {
	*Client
	keys *keyring
	r    Request
}

func (a attempt) do(ctx context.Context) (*Response, *Error) {
	answer, fault := a.ask(ctx)
	if fault != nil {
		return nil, fault
	}
	resp, err := a.response(a.r, answer)
	if err != nil {
		answer.Body.Close()
		return nil, a.failed(ctx, err)
	}
	return resp, nil
}

// ask returns an answer of status 200, or 206 where a range was asked for. It logs in as
// far as it takes.
func (a attempt) ask(ctx context.Context) (*http.Response, *Error) {
	mark := a.keys.mark()
	l, err := a.keys.login(ctx, a.r.Repository)
	for try := 1; err == nil; try++ {
		var resp *http.Response
		if resp, err = a.send(ctx, a.trip(a.r, l)); err != nil {
			break
		}
		if len(a.accounts.all) == 1 || a.accounts.first() == a.keys {
			a.noteRateLimit(a.r, resp)
		}
		if usable(a.r, resp.StatusCode) {
			a.keys.worked(l, a.r.Repository)
			return resp, nil
		}
		f := a.readFault(resp)
		// A request without a login is how a registry's challenge is learned.
		if f.status != http.StatusUnauthorized || l.header != "" {
			a.log.DebugContext(ctx, "upstream has no content for us", "upstream", a.cfg.Name,
				"op", a.r.op(), "status", f.status, "code", f.code, "text", f.text)
		}
		more := f.unauthorised() || f.hidden() && l.header == "" && !a.keys.anonymous()
		expired := more && l.expired()
		switch {
		case expired && try == maxLogins:
			return nil, a.failed(ctx, fmt.Errorf("%w before its token expired", ErrQueue))
		case !more, try == maxLogins, l.fresh(mark) && !expired:
			return nil, a.judge(ctx, l, f)
		}
		used, other := l, false
		if l, other, err = a.keys.again(ctx, used, a.r.Repository, resp.Header); err == nil && !other {
			return nil, a.judge(ctx, used, f)
		}
	}
	return nil, a.failed(ctx, err)
}
