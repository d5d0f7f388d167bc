package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// refusedFor is how long a credential that was refused comes after the others. Nobody
// tells us when it has been mended.
const refusedFor = time.Minute

// Standing is how a credential is.
type Standing int

const (
	// Ready is a credential that may be used; the first of them is.
	Ready Standing = iota
	// Exhausted has no pulls left; it is used for what costs none.
	Exhausted
	// Broken was refused, or could not be looked up. It is tried again when no other works,
	// and after a minute.
	Broken
)

// String is the standing in lower case.
func (s Standing) String() string { return [...]string{"ready", "exhausted", "broken"}[s] }

// accounts are the credentials of a Client in their order, one without a login if there is
// none, and how each is.
type accounts struct {
	client *Client
	all    []*keyring

	mu        sync.Mutex // guards what follows, which have an element for each
	exhausted []time.Time
	broken    []time.Time // until when
	told      []Standing
}

func newAccounts(c *Client, credentials []Credential) (*accounts, error) {
	s := &accounts{client: c}
	for i, credential := range credentials {
		k, err := newKeyring(c, credential)
		if err != nil {
			return nil, err
		}
		if k.source != nil && len(credentials) > 1 {
			k.source.cure += " of credential " + strconv.Itoa(i+1)
		}
		s.all = append(s.all, k)
	}
	if len(s.all) == 0 {
		k, err := newKeyring(c, Credential{})
		if err != nil {
			return nil, err
		}
		s.all = append(s.all, k)
	}
	s.exhausted, s.broken = make([]time.Time, len(s.all)), make([]time.Time, len(s.all))
	s.told = make([]Standing, len(s.all))
	return s, nil
}

func (s *accounts) close() {
	for _, k := range s.all {
		k.close()
	}
}

// standing is how the i-th is, and until when. s.mu is held.
func (s *accounts) standing(i int, now time.Time) (Standing, time.Time) {
	switch {
	case now.Before(s.broken[i]):
		return Broken, s.broken[i]
	case now.Before(s.exhausted[i]):
		return Exhausted, s.exhausted[i]
	default:
		return Ready, time.Time{}
	}
}

// order are the credentials to try for r: those that are well, then those that were broken
// a moment ago. Those without pulls are left out of pulls, unless there is no other: then
// it is the one that has some again first.
func (s *accounts) order(r Request) []*keyring {
	if len(s.all) == 1 {
		return s.all
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now, next := time.Now(), 0
	var well, broken []*keyring
	for i, k := range s.all {
		standing, _ := s.standing(i, now)
		s.tell(i, standing, nil)
		switch {
		case r.IsPull() && now.Before(s.exhausted[i]):
			if s.exhausted[i].Before(s.exhausted[next]) {
				next = i
			}
		case standing == Broken:
			broken = append(broken, k)
		default:
			well = append(well, k)
		}
	}
	if len(well)+len(broken) == 0 {
		return []*keyring{s.all[next]}
	}
	return append(well, broken...)
}

// first is the credential that pulls are made with.
func (s *accounts) first() *keyring {
	return s.order(Request{Kind: KindManifest, Method: http.MethodGet})[0]
}

// ask makes the request with one credential after another, until one is neither out of
// pulls nor broken.
func (s *accounts) ask(ctx context.Context, r Request) (*Response, *Error) {
	var worst *Error
	for _, k := range s.order(r) {
		resp, fault := attempt{s.client, k, r}.do(ctx)
		s.note(k, r, fault)
		if fault == nil || ctx.Err() != nil || !fault.exhausted() && !fault.broken() {
			return resp, fault
		}
		if worst == nil || fault.exhausted() && !worst.exhausted() {
			worst = fault
		}
	}
	return nil, s.shortest(r, worst)
}

// exhausted and broken say that another credential may have better luck. Other limits than
// that on pulls are on our address, or on nobody knows what: going round them would be what
// they are against.
func (e *Error) exhausted() bool { return e.Class == Limited && e.Limit == PullLimit }

func (e *Error) broken() bool {
	_, sought := errors.AsType[*lookupError](e.Err)
	return e.Class == Refused || e.Class == Unavailable && sought
}

// shortest makes an error about the last credential one about all: it lasts until the first
// of them has pulls again.
func (s *accounts) shortest(r Request, e *Error) *Error {
	if len(s.all) == 1 || !r.IsPull() {
		return e
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	var wait time.Duration
	for _, at := range s.exhausted {
		if left := at.Sub(now); left > 0 && (wait == 0 || left < wait) {
			wait = left
		}
	}
	if wait == 0 {
		return e
	}
	if !e.exhausted() { // it was tried in place of one that has no pulls
		e = &Error{
			Upstream: e.Upstream, Op: e.Op, Class: Limited, Limit: PullLimit, Status: http.StatusTooManyRequests, Err: e,
			Message: fmt.Sprintf("%s; others have no pulls left for another %s", e.Message, wait.Round(time.Second)),
		}
	}
	e.RetryAfter = wait
	return e
}

// note takes in what came of a request with k.
func (s *accounts) note(k *keyring, r Request, fault *Error) {
	if fault != nil && fault.Class == Limited {
		s.client.cfg.Metrics.limited(s.client.cfg.Name, fault.Limit)
	}
	if k.anonymous() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for i := range s.all {
		if s.all[i] != k {
			continue
		}
		switch {
		case fault == nil && r.IsPull():
			s.exhausted[i], s.broken[i] = time.Time{}, time.Time{}
		case fault == nil, fault.Class == NotHere, fault.Class == Denied:
			s.broken[i] = time.Time{}
		case fault.exhausted():
			s.exhausted[i], s.broken[i] = now.Add(fault.RetryAfter), time.Time{}
		case fault.broken():
			s.broken[i] = now.Add(refusedFor)
		}
		standing, _ := s.standing(i, now)
		s.tell(i, standing, fault)
	}
}

// tell exports how the i-th is, and logs that it is another way than before where somebody
// else takes its place. s.mu is held.
func (s *accounts) tell(i int, standing Standing, fault *Error) {
	c := s.client
	if s.all[i].anonymous() {
		return
	}
	c.cfg.Metrics.credential(c.cfg.Name, i, standing)
	if s.told[i] == standing {
		return
	}
	s.told[i] = standing
	if len(s.all) == 1 {
		return
	}
	if standing == Ready {
		c.log.Info("credential is used again", "upstream", c.cfg.Name, "credential", i+1)
		return
	}
	attrs := []any{"upstream", c.cfg.Name, "credential", i + 1, "standing", standing.String()}
	if fault != nil {
		attrs = append(attrs, "error", fault)
	}
	c.log.Warn("credential cannot be used, the next one takes over", attrs...)
}
