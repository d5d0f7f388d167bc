package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
)

const (
	// maxTokenBytes bounds a token service's answer.
	maxTokenBytes = 64 << 10
	// tokenTimeout bounds one question to a token service with all its tries, beside what
	// the upstream's own limits make it wait.
	tokenTimeout = 30 * time.Second
	// defaultExpiry is what the token specification says when expires_in is missing.
	defaultExpiry = 60 * time.Second
	// maxExpiry and maxMargin bound how long a token is believed to last, and how long
	// before its end it is renewed.
	maxExpiry = 24 * time.Hour
	maxMargin = 30 * time.Second
)

// tokenError is a token service's refusal or failure.
type tokenError struct {
	host  string
	fault answerFault
	err   error // instead of fault, when there was no answer
}

func (e *tokenError) Error() string {
	if e.err != nil {
		return fmt.Sprintf("token service %s: %v", e.host, e.err)
	}
	return fmt.Sprintf("token service %s answered %d", e.host, e.fault.status)
}

func (e *tokenError) Unwrap() error { return e.err }

// denied says that the service answered that it gives no token.
func (e *tokenError) denied() bool {
	return e.err == nil && !e.fault.html && (e.fault.status == http.StatusUnauthorized || e.fault.status == http.StatusForbidden)
}

// refused says that a token service answered and gave none.
func refused(err error) bool {
	e, ok := errors.AsType[*tokenError](err)
	return ok && e.denied()
}

// lost says that a token service did not do its work, so that it may be the wrong one.
func lost(err error) bool {
	for _, unasked := range []error{ErrDown, ErrQueue, context.Canceled} {
		if errors.Is(err, unasked) {
			return false
		}
	}
	e, ok := errors.AsType[*tokenError](err)
	return ok && !e.denied() && e.fault.status != http.StatusTooManyRequests
}

// fetchToken asks the token service once, whoever waits for it. An empty scope asks
// whether the login is right.
func (k *keyring) fetchToken(ctx context.Context, s scheme, scope string) (grant, error) {
	c := k.client
	ctx, cancel := context.WithTimeout(ctx, tokenTimeout+c.gate.patience())
	defer cancel()
	secret, err := k.secret(ctx)
	if err != nil {
		return grant{}, err
	}
	g, err := c.askToken(ctx, tokenURL(s, scope), secret)
	if refused(err) && k.renewed(ctx, secret) {
		if secret, err = k.secret(ctx); err == nil {
			g, err = c.askToken(ctx, tokenURL(s, scope), secret)
		}
	}
	c.cfg.Metrics.token(c.cfg.Name, tokenResult(err))
	if err != nil {
		c.log.DebugContext(ctx, "no token", "upstream", c.cfg.Name, "scope", scope, "error", err)
	}
	return g, err
}

func tokenResult(err error) string {
	e, ok := errors.AsType[*tokenError](err)
	switch {
	case err == nil:
		return "ok"
	case ok && e.denied():
		return Refused.String()
	case ok && e.fault.status == http.StatusTooManyRequests:
		return Limited.String()
	default:
		return Unavailable.String()
	}
}

// tokenURL is where a token is asked for.
func tokenURL(s scheme, scope string) *url.URL {
	u := *s.realm
	q := u.Query()
	if s.service != "" {
		q.Set("service", s.service)
	}
	if scope != "" {
		q.Set("scope", scope)
	}
	u.RawQuery = q.Encode()
	return &u
}

// askToken asks with the login, if there is one, as a header; with an identity token in the
// form that OAuth 2.0 has for it.
func (c *Client) askToken(ctx context.Context, u *url.URL, secret authn.AuthConfig) (grant, error) {
	h := http.Header{}
	h.Set("Accept", "application/json")
	t := trip{method: http.MethodGet, url: u, header: h, tokens: true, rank: logins, allow: c.checkTokenHop(secret)}
	q := u.Query()
	if secret.IdentityToken != "" {
		q.Set("grant_type", "refresh_token")
		q.Set("refresh_token", secret.IdentityToken)
		q.Set("client_id", defaultUserAgent)
		t.method, t.form, u.RawQuery = http.MethodPost, q.Encode(), ""
		h.Set("Content-Type", "application/x-www-form-urlencoded")
	} else if basic := basicOf(secret); basic != "" {
		if secret.Username != "" {
			q.Set("account", secret.Username)
		}
		u.RawQuery = q.Encode()
		h.Set("Authorization", basic)
	}
	asked := time.Now()
	resp, err := c.send(ctx, t)
	if err != nil {
		return grant{}, &tokenError{host: u.Host, err: err}
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return grant{}, &tokenError{host: u.Host, fault: c.readFault(resp)}
	}
	g, err := parseToken(resp.Body, asked)
	if err != nil {
		return grant{}, &tokenError{host: u.Host, err: err}
	}
	return g, nil
}

// checkTokenHop decides about redirects of a token request. One that carries the login
// stays where it is.
func (c *Client) checkTokenHop(secret authn.AuthConfig) func(from, to *url.URL) error {
	return func(from, to *url.URL) error {
		if err := c.checkRealm(to); err != nil {
			return err
		}
		if secret != (authn.AuthConfig{}) && !sameOrigin(from, to) {
			return fmt.Errorf("%w: it redirects the login to %s", errForeignRealm, to.Host)
		}
		return nil
	}
}

// parseToken reads the answer to a question asked at the given time.
func parseToken(body io.Reader, asked time.Time) (grant, error) {
	raw, err := io.ReadAll(io.LimitReader(body, maxTokenBytes+1))
	if err != nil {
		return grant{}, fmt.Errorf("read token: %w", err)
	}
	if len(raw) > maxTokenBytes {
		return grant{}, fmt.Errorf("token: %w", ErrTooLarge)
	}
	var answer struct {
		Token       string      `json:"token"`
		AccessToken string      `json:"access_token"`
		ExpiresIn   json.Number `json:"expires_in"`
	}
	if json.Unmarshal(raw, &answer) != nil { // its error would quote the answer
		return grant{}, errors.New("answer is not a JSON object with a token")
	}
	value := answer.Token
	if value == "" {
		value = answer.AccessToken
	}
	if value == "" || strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return grant{}, errors.New("answer has no token that can be sent")
	}
	lifetime := expiry(answer.ExpiresIn)
	margin := min(maxMargin, lifetime/10)
	return grant{value: value, expires: asked.Add(lifetime - margin)}, nil
}

func expiry(seconds json.Number) time.Duration {
	f, err := seconds.Float64()
	switch {
	case err != nil || f <= 0:
		return defaultExpiry
	case f >= maxExpiry.Seconds():
		return maxExpiry
	default:
		return time.Duration(f * float64(time.Second))
	}
}
