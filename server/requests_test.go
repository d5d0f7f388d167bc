package server_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berth-cache/berth/server"
)

// crowd asks n times at once over one HTTP/2 connection, of a handler that holds every
// request until release is closed.
type crowd struct {
	*rig
	release chan struct{}
	asking  sync.WaitGroup
	fine    atomic.Int64

	mu            sync.Mutex // guards both
	running, most int
}

func (c *crowd) count(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running += n
	c.most = max(c.most, c.running)
}

func newCrowd(t *testing.T, limit int) *crowd {
	t.Helper()
	c := &crowd{release: make(chan struct{})}
	c.rig, _ = newSecureRig(t, server.Options{MaxConnections: limit, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.count(1)
		defer c.count(-1)
		if r.URL.Path == "/held" {
			<-c.release
		}
		fmt.Fprint(w, "fine")
	})})
	if status, _, err := c.getSecure("/"); status != 200 || err != nil { // the connection that all use
		t.Fatal(status, err)
	}
	return c
}

func (c *crowd) ask(n int) {
	for range n {
		c.asking.Go(func() {
			if status, body, err := c.getSecure("/held"); status == 200 && body == "fine" && err == nil {
				c.fine.Add(1)
			}
		})
	}
	synctest.Wait()
}

func (c *crowd) want(t *testing.T, running int) {
	t.Helper()
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running != running {
		t.Errorf("%d requests run, want %d", c.running, running)
	}
}

func TestRequestsOverHTTP2AreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, 10)
		c.ask(50)
		c.want(t, 10)
		time.Sleep(10 * time.Minute) // whoever waits is not cut off
		c.want(t, 10)
		c.Limit(20)
		c.want(t, 20)
		c.Limit(5)
		close(c.release)
		c.asking.Wait()
		if c.fine.Load() != 50 || c.most != 20 {
			t.Errorf("%d of 50 were answered, %d ran at once", c.fine.Load(), c.most)
		}
		if n := c.logged("as many requests run as may"); n != 1 {
			t.Errorf("that requests wait was told %d times", n)
		}
		c.Limit(1)
		if status, _, err := c.getSecure("/"); status != 200 || err != nil {
			t.Errorf("afterwards: %d, %v", status, err)
		}
	})
}

func TestClientThatLeavesTheQueueTakesNoPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, 2)
		c.ask(2)
		ctx, leave := context.WithCancel(t.Context())
		for range 3 {
			c.asking.Go(func() {
				q, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://berth.test/held", http.NoBody)
				if err != nil {
					t.Error(err)
					return
				}
				if response, err := c.client.Do(q); err == nil {
					response.Body.Close()
					t.Error("whoever left was answered")
				}
			})
		}
		synctest.Wait()
		leave()
		c.want(t, 2)
		c.ask(1)
		close(c.release)
		c.asking.Wait()
		if c.fine.Load() != 3 || c.most != 2 {
			t.Errorf("%d of 3 were answered, %d ran at once", c.fine.Load(), c.most)
		}
	})
}
