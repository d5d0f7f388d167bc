package crowd_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/berth-cache/berth/e2e/soak/crowd"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestCrowd(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		// That nobody takes it shows at the end of the test.
		_, _ = w.Write(make([]byte, 8<<20)) //nolint:errcheck // see above
	}))
	server.Config.ReadHeaderTimeout = 200 * time.Millisecond
	server.Config.MaxHeaderBytes = 64 << 10
	server.Start()
	t.Cleanup(server.Close)
	c := crowd.New(t, server.Listener.Addr().String())
	c.Lingering(t, 3)
	c.Stalled(t, 4, "/v2/")
	if n := c.Open(); n != 7 {
		t.Fatalf("%d are open, want 7", n)
	}
	c.Silent(t, 2)
	c.Dribbling(t, 2, time.Millisecond)
	c.Flooding(2)
	limit := time.After(10 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for c.Open() > 7 || len(c.Floods()) == 0 {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("%d are open, want those 7; floods %v", c.Open(), c.Floods())
		}
	}
	c.Close()
	if n := c.Open(); n != 0 {
		t.Errorf("%d are open after the end", n)
	}
	for line := range c.Floods() {
		if !strings.HasPrefix(line, "HTTP/1.1 431") && line != "closed" && line != "no connection" {
			t.Errorf("a flood was answered %q", line)
		}
	}
}
