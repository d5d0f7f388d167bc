package upstream

import (
	"context"
	"net/http"
	"net/netip"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
)

// Hide hides passwords in text, each of a credential of its own.
func Hide(text string, passwords ...string) string {
	s := newSecrets()
	for _, password := range passwords {
		s.add(&keyring{}, authn.AuthConfig{Username: "jo", Password: password})
	}
	return s.hide(text)
}

// MaxGrants is the bound on tokens kept.
const MaxGrants = maxGrants

// Reach is where an address leads, in words.
func Reach(addr string) string {
	return [...]string{"public", "private", "never"}[reachOf(netip.MustParseAddr(addr))]
}

// Related tells whether two host names have one owner.
func Related(a, b string) bool { return related(a, b) }

// OddNumber tells whether a resolver may read a host name as an address.
func OddNumber(host string) bool { return oddNumber(host) }

// Challenge is one parsed challenge.
type Challenge struct {
	Scheme string
	Params map[string]string
}

// Challenges parses WWW-Authenticate lines.
func Challenges(lines ...string) []Challenge {
	var out []Challenge
	for _, c := range parseChallenges(http.Header{"Www-Authenticate": lines}) {
		out = append(out, Challenge{c.scheme, c.params})
	}
	return out
}

// ScopeFrom chooses between a challenge's scope and ours.
func ScopeFrom(challenged, repository string) string { return scopeFrom(challenged, repository) }

// Grants is how many tokens a Client holds.
func (c *Client) Grants() int {
	k := c.accounts.all[0]
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.grants)
}

// FillGrants makes the Client hold as many tokens as it may, all good for an hour.
func (c *Client) FillGrants() {
	k := c.accounts.all[0]
	k.mu.Lock()
	defer k.mu.Unlock()
	for i := range maxGrants {
		key := grantKey{repository: string(rune('a' + i))}
		k.grants[key] = grant{key: key, value: "t", expires: time.Now().Add(time.Hour)}
	}
}

// Hosts is how many breakers a Client holds.
func (c *Client) Hosts() int {
	c.hosts.mu.Lock()
	defer c.hosts.mu.Unlock()
	return len(c.hosts.hosts)
}

// ForgetScheme makes the next request learn how to log in anew.
func (c *Client) ForgetScheme() { c.scheme.Store(nil) }

// ContentRange reads a Content-Range when asked bytes from an offset.
func ContentRange(header string, asked int64) (offset, size int64, err error) {
	return contentRange(header, asked)
}

// NextLink is the target of the Link header's rel=next.
func NextLink(lines ...string) string {
	target, _ := nextLink(http.Header{"Link": lines})
	return target
}

// ETag normalises an ETag header.
func ETag(value string) string { return etag(value) }

// NextPage is the query of the page that follows r's, by a Link header that came with it.
func (c *Client) NextPage(r Request, link string) string {
	return c.nextPage(r, &http.Response{Header: http.Header{"Link": {link}}, Request: &http.Request{URL: r.url(c.base)}})
}

// URL is where a request goes.
func (c *Client) URL(r Request) string { return r.url(c.base).String() }

// ReadRateLimit reads the headers about a limit.
func ReadRateLimit(h http.Header) (RateLimit, bool) { return readRateLimit(h) }

// Lost tells whether a token service that failed like this is forgotten.
func Lost(err error) bool { return lost(&tokenError{host: "auth.example.com", err: err}) }

// Account tells of one credential of a Client.
type Account struct {
	// Kind is where the login comes from: password, docker_config, or what is looked up.
	Kind string
	// Username is that of the login in use, empty while nobody knows it.
	Username string
	Standing Standing
	// Until is when that ends; zero for Ready.
	Until time.Time
}

// Accounts tells of the credentials, in their order; none if pulls are anonymous.
func (c *Client) Accounts() []Account {
	s := c.accounts
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Account
	for i, k := range s.all {
		if k.anonymous() {
			continue
		}
		a := Account{Kind: k.source.kind, Username: k.username()}
		a.Standing, a.Until = s.standing(i, time.Now())
		all = append(all, a)
	}
	return all
}

// username is that of the login in use, as far as is known.
func (k *keyring) username() string {
	if k.lookup == nil {
		return k.source.fixed.Username
	}
	k.lookup.mu.Lock()
	defer k.lookup.mu.Unlock()
	if k.lookup.held == nil {
		return ""
	}
	return k.lookup.held.Username
}

// Found is a login that was looked up.
type Found = found

// Lookup is a login that find gives for the upstream's host, when it is needed and again
// before it expires. find ends with ctx; its error is shown to those who pull. kind names
// the place in messages, e.g. "ecr".
func Lookup(kind string, find func(ctx context.Context, host string) (Found, error)) Credential {
	return Credential{func(c *Client) (*source, error) {
		return &source{
			kind: kind, user: "\n" + kind, cure: "check what " + kind + " gives",
			find: func(ctx context.Context) (Found, error) { return find(ctx, c.base.Host) },
		}, nil
	}}
}
