package upstream

import (
	"context"
	"encoding/base64"
	"errors"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
)

// Credential is a login, or the place where it is looked up. The zero value is none. It
// shows no secret, however it is printed: a function holds what there is.
type Credential struct {
	source func(c *Client) (*source, error)
}

// Password is the login of a user. Both empty are none.
func Password(username, password string) Credential {
	if username == "" && password == "" {
		return Credential{}
	}
	return Credential{func(*Client) (*source, error) {
		login := authn.AuthConfig{Username: username, Password: password}
		return &source{kind: "password", user: username, fixed: &login, cure: "check username and password"}, nil
	}}
}

// found is a login that was looked up.
type found struct {
	Username, Password string
	// IdentityToken is what a token service takes instead of the two.
	IdentityToken string
	// Expires is when it ends; zero if nobody says.
	Expires time.Time
}

// source is where a login comes from: fixed, or found.
type source struct {
	kind string
	// user is the account for the fingerprint: the user name, or what stands for it.
	user  string
	fixed *authn.AuthConfig
	find  func(ctx context.Context) (found, error)
	// cure is what to do when the login is refused.
	cure string
}

// basicOf is the login as a header, empty when it has neither name nor password.
func basicOf(login authn.AuthConfig) string {
	if login.Username == "" && login.Password == "" {
		return ""
	}
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(login.Username+":"+login.Password))
}

// anonymous says that there is no credential.
func (k *keyring) anonymous() bool { return k.source == nil }

// secret returns what to log in with. It waits for a lookup only if none is held.
func (k *keyring) secret(ctx context.Context) (authn.AuthConfig, error) {
	switch {
	case k.source == nil:
		return authn.AuthConfig{}, nil
	case k.source.fixed != nil:
		return *k.source.fixed, nil
	}
	return k.lookup.get(ctx)
}

// renewed tells whether there is another login than used, which was refused.
func (k *keyring) renewed(ctx context.Context, used authn.AuthConfig) bool {
	return k.lookup != nil && k.lookup.renew(ctx, used)
}

// errNoLogin says that a credential is for other upstreams.
var errNoLogin = errors.New("has no login")
