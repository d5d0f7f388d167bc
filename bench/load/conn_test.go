package load_test

import (
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/berth-cache/berth/bench/load"
)

func TestBodiesAreCompared(t *testing.T) {
	target, content := blob(100_000)
	changed := slices.Clone(content)
	changed[70_001] ^= 1
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		fault   string // empty for an answer that is good
	}{
		"right":          {body(content), ""},
		"one bit":        {body(changed), "wrong bytes"},
		"short":          {body(content[:99_999]), "wrong bytes: 99999"},
		"long":           {body(append(slices.Clone(content), 0)), "wrong bytes: 100001"},
		"cut":            {cut(content), "read body"},
		"not there":      {http.NotFound, "refused: 404"},
		"no length":      {func(w http.ResponseWriter, _ *http.Request) { w.(http.Flusher).Flush() }, "no length"},
		"last of a kind": {closing(content), ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := run(t, load.Plan{Addr: answering(t, c.handler), Repeat: repeat(target, 20)})
			switch {
			case c.fault == "" && (r.Requests != 20 || r.Bytes != 20*100_000 || r.Failed != 0):
				t.Errorf("%+v", r)
			case c.fault != "" && (r.Failed != 20 || r.Requests != 0 || r.Bytes != 0 || !strings.Contains(strings.Join(r.Faults, "\n"), c.fault)):
				t.Errorf("%+v, want a fault with %q", r, c.fault)
			}
		})
	}
}

// cut ends the connection in mid-body.
func cut(content []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100000")
		w.Write(content[:50_000]) //nolint:errcheck // the client sees what is missing
		panic(http.ErrAbortHandler)
	}
}

// closing ends the connection after each answer.
func closing(content []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		body(content)(w, r)
	}
}

func TestManifestsAreComparedToo(t *testing.T) {
	endpoint, _, m := registry(t, noConditions)
	target := load.ManifestTarget(m)
	if r := run(t, load.Plan{Addr: endpoint.Addr, Repeat: repeat(target, 10)}); r.Requests != 10 || r.Failed != 0 {
		t.Errorf("right: %+v", r)
	}
	changed := slices.Clone(m.Manifest)
	changed[10] ^= 1
	if r := run(t, load.Plan{Addr: answering(t, body(changed)), Repeat: repeat(target, 10)}); r.Failed != 10 {
		t.Errorf("changed: %+v", r)
	}
}

// A plan whose content is not what its digest says proves nothing, and is refused.
func TestContentIsHashedFirst(t *testing.T) {
	target, content := blob(100)
	other, _ := blob(101)
	target.Digest = other.Digest
	_, err := load.Run(t.Context(), load.Plan{Addr: answering(t, body(content)), Bound: bound, Repeat: repeat(target, 1)})
	if err == nil || !strings.Contains(err.Error(), load.ErrContent.Error()) {
		t.Errorf("error %v", err)
	}
}

// A server may close a connection between two requests: that is no failure. One that
// answers nothing at all is asked twice at most.
func TestClosedBetweenRequests(t *testing.T) {
	target, content := blob(100)
	var asked atomic.Int64
	addr := answering(t, func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1)%2 == 0 {
			panic(http.ErrAbortHandler)
		}
		body(content)(w, r)
	})
	one := repeat(target, 10)
	one.Connections = 1
	if r := run(t, load.Plan{Addr: addr, Repeat: one}); r.Requests != 10 || r.Failed != 0 {
		t.Errorf("every second closed: %+v", r)
	}
	asked.Store(0)
	never := answering(t, func(http.ResponseWriter, *http.Request) {
		asked.Add(1)
		panic(http.ErrAbortHandler)
	})
	if r := run(t, load.Plan{Addr: never, Repeat: one}); r.Failed != 10 || asked.Load() > 20 {
		t.Errorf("none answered: %+v after %d", r, asked.Load())
	}
}

func TestHeadHasNoBody(t *testing.T) {
	endpoint, _, m := registry(t, noConditions)
	head := repeat(load.ManifestTarget(m), 10)
	head.Method = "HEAD"
	if r := run(t, load.Plan{Addr: endpoint.Addr, Repeat: head}); r.Requests != 10 || r.Bytes != 0 || r.Failed != 0 {
		t.Errorf("%+v", r)
	}
}

func TestBoundEndsWhatHangs(t *testing.T) {
	target, _ := blob(100)
	addr := answering(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	r := run(t, load.Plan{Addr: addr, Bound: 50 * time.Millisecond, Repeat: repeat(target, 100)})
	if r.Failed == 0 || r.Requests != 0 {
		t.Errorf("%+v", r)
	}
}
