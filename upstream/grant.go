package upstream

import (
	"context"
	"fmt"
	"maps"
	"time"
)

// maxGrants bounds the tokens kept: a walk asks for repositories without end.
const maxGrants = 2000

// grant is a token and for what it was given.
type grant struct {
	key     grantKey
	value   string
	expires time.Time
	errand  uint64 // which question to the token service it came of
}

type grantKey struct {
	realm, service, repository string
}

// errand is one question to the token service that is under way.
type errand struct {
	done  chan struct{} // closed when grant and err are set
	grant grant
	err   error
}

type errandKey struct {
	grantKey
	scope string
}

// grant returns the token for repository: the one held, or that of the errand under way,
// or of a new one. ctx bounds the wait alone.
func (k *keyring) grant(ctx context.Context, s scheme, scope, repository string) (grant, error) {
	key := grantKey{realm: s.realm.String(), service: s.service, repository: repository}
	k.mu.Lock()
	if g, ok := k.grants[key]; ok && time.Now().Before(g.expires) {
		k.mu.Unlock()
		return g, nil
	}
	e, err := k.errand(s, errandKey{grantKey: key, scope: scope})
	k.mu.Unlock()
	if err != nil {
		return grant{}, err
	}
	return e.wait(ctx)
}

func (e *errand) wait(ctx context.Context) (grant, error) {
	select {
	case <-e.done:
		return e.grant, e.err
	case <-ctx.Done():
		return grant{}, fmt.Errorf("wait for a token: %w", context.Cause(ctx))
	}
}

// errand joins the errand for key or starts it. k.mu is held.
func (k *keyring) errand(s scheme, key errandKey) (*errand, error) {
	if e, ok := k.errands[key]; ok {
		return e, nil
	}
	if k.closed {
		return nil, ErrClosed
	}
	e := &errand{done: make(chan struct{})}
	k.errands[key] = e
	k.count++
	number := k.count
	k.wg.Go(func() {
		g, err := k.fetchToken(k.ctx, s, key.scope)
		g.key, g.errand = key.grantKey, number
		k.finish(key, e, g, err)
	})
	return e, nil
}

func (k *keyring) finish(key errandKey, e *errand, g grant, err error) {
	e.grant, e.err = g, err
	k.mu.Lock()
	delete(k.errands, key)
	if err == nil {
		if key.scope != "" {
			k.make(g)
		}
		k.goodAt = time.Now()
	} else if s := k.client.scheme.Load(); lost(err) && s != nil && s.realm != nil && s.realm.String() == key.realm {
		k.client.scheme.CompareAndSwap(s, nil) // it may have moved: the next request asks anew where it is
	}
	k.mu.Unlock()
	close(e.done)
}

// make puts g in, in place of others if there are too many. k.mu is held.
func (k *keyring) make(g grant) {
	if len(k.grants) >= maxGrants {
		now := time.Now()
		maps.DeleteFunc(k.grants, func(_ grantKey, old grant) bool { return now.After(old.expires) })
	}
	for key := range k.grants { // any will do: it costs one token request
		if len(k.grants) < maxGrants {
			break
		}
		delete(k.grants, key)
	}
	k.grants[g.key] = g
}

// drop forgets the token of l, unless a newer one has taken its place.
func (k *keyring) drop(l login) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if held, ok := k.grants[l.grant.key]; ok && held.value == l.grant.value {
		delete(k.grants, l.grant.key)
	}
}
