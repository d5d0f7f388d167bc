package server_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berth-cache/berth/server"
)

// drained is how a drain came out, and when.
type drained struct {
	err  error
	took time.Duration
}

// drain begins to stop a server within 30 seconds.
func (r *rig) drain(t *testing.T) <-chan drained {
	t.Helper()
	result := make(chan drained, 1)
	go func() {
		began := time.Now()
		err := r.Drain(t.Context(), 30*time.Second)
		result <- drained{err, time.Since(began)}
	}()
	synctest.Wait()
	return result
}

func (d drained) want(t *testing.T, err error, from, to time.Duration) {
	t.Helper()
	if !errors.Is(d.err, err) || d.took < from || d.took > to {
		t.Errorf("drained after %s with %v, want %s to %s with %v", d.took, d.err, from, to, err)
	}
}

func TestIdleServerStopsSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, server.Options{})
		r.dial(t) // and says nothing
		r.keepAlive(t)
		time.Sleep(time.Minute / 4)
		(<-r.drain(t)).want(t, nil, 2*time.Second, 2*time.Second+200*time.Millisecond)
		if _, _, err := r.get("/"); err == nil {
			t.Error("a request was answered after the end")
		}
	})
}

// A pull asks for one thing after another, and on a new connection when it has to.
func TestPullGoesOnWhileDraining(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, server.Options{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(3 * time.Second)
			fmt.Fprint(w, "fine")
		})})
		r.wantFine(t, "/manifest")
		result := r.drain(t)
		for _, path := range []string{"/config", "/layer/1", "/layer/2"} {
			response, err := r.client.Get("http://berth.test" + path)
			if err != nil {
				t.Fatal(err)
			}
			if body, err := io.ReadAll(response.Body); string(body) != "fine" || err != nil || !response.Close {
				t.Errorf("%s: %q, %v; connection is to be closed: %t", path, body, err, response.Close)
			}
			response.Body.Close()
			time.Sleep(time.Second)
		}
		(<-result).want(t, nil, 13*time.Second, 14*time.Second)
	})
}

func TestRequestsThatDoNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, server.Options{Counts: func(q *http.Request) bool { return q.URL.Path != "/ping" }})
		result := r.drain(t)
		for range 3 {
			time.Sleep(time.Second / 2)
			r.wantFine(t, "/ping")
		}
		(<-result).want(t, nil, 2*time.Second, 2*time.Second+200*time.Millisecond)
	})
}

// After three quarters of the bound no more is accepted, however many come.
func TestDrainUnderEndlessRequests(t *testing.T) {
	for _, test := range []struct {
		name     string
		takes    time.Duration // each request
		err      error
		from, to time.Duration
	}{
		{"that end", 4 * time.Second, nil, 22 * time.Second, 28 * time.Second},
		{"that do not end", time.Hour, server.ErrCut, 30 * time.Second, 31 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, server.Options{Handler: http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
					select {
					case <-time.After(test.takes):
					case <-q.Context().Done():
					}
					fmt.Fprint(w, "fine")
				})})
				began := time.Now()
				result := r.drain(t)
				var failed time.Duration
				for failed == 0 {
					if _, _, err := r.get("/"); err != nil {
						failed = time.Since(began)
					}
				}
				if failed < 22*time.Second {
					t.Errorf("a request failed after %s", failed)
				}
				(<-result).want(t, test.err, test.from, test.to)
			})
		})
	}
}
