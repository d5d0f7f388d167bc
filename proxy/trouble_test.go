package proxy_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/berth-cache/berth/state"
	"github.com/berth-cache/berth/state/statetest"
	"github.com/berth-cache/berth/upstream/upstreamtest"
)

// sickState is a state in memory that fails on demand.
type sickState struct {
	mu      sync.Mutex // guards everything below
	entries map[string][]byte
	fault   func(ctx context.Context) (apply bool, err error)
}

var _ state.Store = (*sickState)(nil)

func (s *sickState) become(fault func(ctx context.Context) (bool, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = fault
}

// call runs f, unless the fault is that nothing happens.
func (s *sickState) call(ctx context.Context, f func() error) error {
	s.mu.Lock()
	fault := s.fault
	s.mu.Unlock()
	apply, err := true, error(nil)
	if fault != nil {
		apply, err = fault(ctx)
	}
	if !apply {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.entries == nil {
		s.entries = map[string][]byte{}
	}
	return errors.Join(f(), err)
}

func (s *sickState) Get(ctx context.Context, key string) (value []byte, err error) {
	return value, s.call(ctx, func() error {
		held, ok := s.entries[key]
		if !ok {
			return state.ErrNotFound
		}
		value = slices.Clone(held)
		return nil
	})
}

func (s *sickState) Put(ctx context.Context, key string, value []byte, _ time.Duration) error {
	return s.call(ctx, func() error { s.entries[key] = slices.Clone(value); return nil })
}

func (s *sickState) CompareAndSwap(context.Context, string, state.Swap) error {
	return errors.New("a pull swaps nothing")
}

func (s *sickState) Delete(ctx context.Context, key string) error {
	return s.call(ctx, func() error { delete(s.entries, key); return nil })
}

func (s *sickState) Scan(ctx context.Context, q state.Range) (found []state.Entry, err error) {
	return found, s.call(ctx, func() error {
		for _, k := range slices.Sorted(maps.Keys(s.entries)) {
			if strings.HasPrefix(k, q.Prefix) && k > q.After && len(found) < q.Limit {
				found = append(found, state.Entry{Key: k, Value: s.entries[k]})
			}
		}
		return nil
	})
}

func stateFails(context.Context) (bool, error) { return false, state.ErrUnavailable }

func stateHangs(ctx context.Context) (bool, error) {
	<-ctx.Done()
	return false, ctx.Err()
}

// No pull fails for the state: what it would have told is found out again.
func TestPullsWithStateInTrouble(t *testing.T) {
	rows := []struct {
		name  string
		fault func(ctx context.Context) (bool, error)
		// slow is the longest that one request may wait for the state in all.
		slow time.Duration
	}{
		{"fails", stateFails, 0},
		{"fails in words of its own", func(context.Context) (bool, error) { return false, errors.New("disk on fire") }, 0},
		{"applies and fails", func(context.Context) (bool, error) { return true, state.ErrUnavailable }, 0},
		{"hangs", stateHangs, 10 * time.Second}, // a second for each of the facts that it would have told or been told
	}
	for _, row := range rows {
		timeless(t, row.name, func(t *testing.T) {
			sick := &sickState{}
			sick.become(row.fault)
			r := newRig(t, plan{upstreams: []far{{name: "hub"}}, state: sick})
			hub := r.hubs["hub"]
			image := hub.AddImage("app", "1", []byte("layer"))
			hub.AddReferrer("app", sbom, image)
			pull := func(slow time.Duration) {
				t.Helper()
				for _, path := range []string{
					manifestPath("app", "1"), manifestPath("app", image.Digest.String()), blobPath("app", image.Layers[0]),
					"/v2/app/tags/list", referrersPath("app", image.Digest),
				} {
					for _, method := range []string{"GET", "HEAD"} {
						began := time.Now()
						if a := r.do(method, path); a.StatusCode != 200 {
							t.Errorf("%s %s: %s\n%s", method, path, a.Status, a.body)
						}
						if took := time.Since(began); took > slow {
							t.Errorf("%s %s took %s, want at most %s", method, path, took, slow)
						}
					}
				}
			}
			pull(row.slow) // cold
			hub.Reset()
			pull(0) // warm: from memory
			r.asked("hub")

			time.Sleep(day + time.Second)
			pull(row.slow) // checks
			moved := hub.AddImage("app", "1", []byte("moved"))
			time.Sleep(day)
			r.pulled(manifestPath("app", "1"), moved.Manifest)
			r.restart() // and now nothing is known but the bytes
			pull(row.slow)
			hub.Stop()
			pull(0)
		})
	}
}

// What is known of a repository protects it from strangers, also when the state that
// knew it is gone.
func TestRefusalWhileTheStateIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sick := &sickState{}
		r := newRig(t, plan{upstreams: []far{{name: "hub"}, {name: "other"}}, state: sick})
		image := r.hubs["hub"].AddImage("app", "1", []byte("layer"))
		r.hubs["other"].AddImage("app", "1", []byte("a stranger's"))
		r.pulled(manifestPath("app", "1"), image.Manifest)
		r.restart()
		r.pulled(manifestPath("app", "1"), image.Manifest)
		sick.become(stateFails)
		r.hubs["hub"].Fail(nil, refusal(401, "UNAUTHORIZED"))
		time.Sleep(day)
		a := r.get(manifestPath("app", "1"))
		r.tells(a, stale(day, "credential-refused"))
		r.is(a, image)
		r.asked("other")
	})
}

// redisOf is a Berth's own connection to server.
func redisOf(t *testing.T, server *statetest.RedisServer) *state.Redis {
	t.Helper()
	s, err := state.NewRedis(state.RedisOptions{URL: state.RedisURL(server.URL())})
	check(t, err)
	t.Cleanup(func() { check(t, s.Close()) })
	return s
}

// whole fetches path and returns an error unless its bytes have the digest. Unlike get it
// may be called beside the test's own goroutine.
func (r *rig) whole(path string, want digest.Digest) error {
	response, err := r.client.Get(berthURL + path)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("GET %s: %s, read: %w", path, response.Status, err)
	}
	if response.StatusCode != http.StatusOK || want.Algorithm().FromBytes(body) != want {
		return fmt.Errorf("GET %s: %s, %d bytes that are not %s", path, response.Status, len(body), want)
	}
	return nil
}

func (r *rig) wholeImage(repo string, image upstreamtest.Image) error {
	return errors.Join(
		r.whole(manifestPath(repo, "1"), image.Digest),
		r.whole(blobPath(repo, image.Layers[0]), image.Layers[0]))
}

func TestRedisStopsAndStartsInMidLoad(t *testing.T) {
	server := statetest.StartRedis(t)
	facts := redisOf(t, server)
	r := newRig(t, plan{upstreams: []far{{name: "hub"}}, state: facts})
	hub := r.hubs["hub"]
	warm := hub.AddImage("warm", "1", []byte("warm layer"))
	check(t, r.wholeImage("warm", warm))

	results, done := make(chan error), make(chan struct{})
	var clients sync.WaitGroup
	for i := range 50 {
		clients.Go(func() {
			for n := 0; ; n++ {
				repo := fmt.Sprintf("cold/c%d/n%d", i, n)
				cold := hub.AddImage(repo, "1", []byte("layer of "+repo))
				err := errors.Join(r.wholeImage("warm", warm), r.wholeImage(repo, cold))
				select {
				case results <- err:
				case <-done:
					return
				}
			}
		})
	}
	defer clients.Wait()
	defer close(done)
	pulls := func(n int) {
		for range n {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
	}
	pulls(60)
	server.Stop()
	pulls(100)
	server.Start() // and it has lost all that it knew
	pulls(60)
	for learned := false; !learned; pulls(1) { // until it is in use again
		found, err := facts.Scan(t.Context(), state.Range{Prefix: "pointer|", Limit: 1})
		learned = err == nil && len(found) > 0
	}
}

// Two Berths, each with its own disk, share what they learn: the second asks nobody for
// what the first knows, and fetches only the bytes that it lacks.
func TestTwoBerthsShareWhatTheyLearn(t *testing.T) {
	server := statetest.StartRedis(t)
	upstreams := []far{{name: "hub"}, {name: "other"}}
	one := newRig(t, plan{upstreams: upstreams, state: redisOf(t, server)})
	two := newRig(t, plan{upstreams: upstreams, state: redisOf(t, server)})
	two.hubs = one.hubs
	for name, hub := range one.hubs {
		two.network.Serve("http://"+name+".test", hub)
	}
	hub, other := one.hubs["hub"], one.hubs["other"]
	image := other.AddImage("app", "1", []byte("layer"))
	one.pulled(manifestPath("app", "1"), image.Manifest)
	one.blobsOf("app", "", image)
	one.get("/v2/app/tags/list")
	hub.Reset()
	other.Reset()

	for _, path := range []string{manifestPath("app", "1"), manifestPath("app", image.Digest.String()), blobPath("app", image.Layers[0])} {
		if a := two.do("HEAD", path); a.StatusCode != 200 || a.Header.Get("Cache-Status") != "berth; hit" {
			t.Errorf("HEAD %s: %s, %q", path, a.Status, a.Header.Get("Cache-Status"))
		}
	}
	two.asked("other")
	two.pulled(manifestPath("app", "1"), image.Manifest)
	two.blobsOf("app", "", image)
	two.get("/v2/app/tags/list")
	two.asked("other", "GET manifest app@"+short(image.Digest), "GET blob app@"+short(image.Layers[0]), "GET blob app@"+short(image.Config), "GET tags app")
	two.asked("hub") // where it is not, the other Berth found out

	// That the repository is known is shared, too: a refusal does not lead elsewhere.
	hub.AddImage("app", "2", []byte("a stranger's"))
	other.Fail(nil, upstreamtest.Fault{Status: 401})
	two.tells(two.get(manifestPath("app", "2")+"?ns=other.test"), failed(502, "UNAVAILABLE", "refused", ""))

	// What the second learns serves the first.
	other.Mend()
	second := other.AddImage("app", "3", []byte("third"))
	two.pulled(manifestPath("app", "3"), second.Manifest)
	other.Reset()
	one.pulled(manifestPath("app", "3"), second.Manifest)
	one.asked("other", "GET manifest app@"+short(second.Digest))
}
