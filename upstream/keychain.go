package upstream

import (
	"context"
	"fmt"
	"net/http"
)

// keychain is a vendor's way to a login, for hosts of its own alone: what it gives is worth
// more than one registry.
type keychain struct {
	kind string
	// hosts are what it is for, in words.
	hosts string
	owns  func(host string) bool
	find  func(ctx context.Context, c *Client) (found, error)
}

func (k keychain) credential() Credential {
	return Credential{func(c *Client) (*source, error) {
		if !k.owns(c.base.Hostname()) || c.base.Scheme != "https" {
			return nil, fmt.Errorf("keychain %s is for %s over https, and not for %s", k.kind, k.hosts, c.base)
		}
		return &source{
			kind: k.kind, user: "\n" + k.kind, cure: "check the rights of the identity that keychain " + k.kind + " found, for",
			find: func(ctx context.Context) (found, error) { return k.find(ctx, c) },
		}, nil
	}}
}

// vendorClient is for the libraries of keychains. They ask addresses that the environment
// names, metadata services among them, so it knows nothing of the rules of upstreams. They
// ask rarely: no connection is kept.
func vendorClient() *http.Client {
	t, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return http.DefaultClient
	}
	t = t.Clone()
	t.DisableKeepAlives = true
	return &http.Client{Transport: t}
}
