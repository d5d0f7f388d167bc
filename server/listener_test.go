package server_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berth-cache/berth/server"
)

func TestRestingConnectionsMakeRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, server.Options{MaxConnections: 3})
		silent := r.dial(t)
		time.Sleep(time.Second)
		idle := r.keepAlive(t)
		time.Sleep(time.Second)
		recent := r.keepAlive(t)
		time.Sleep(time.Second)

		r.wantFine(t, "/") // a fourth
		synctest.Wait()
		if alive(silent) {
			t.Error("the one that rested for longest is open")
		}
		if got := r.metric(t, "berth_connections_shed_total", ""); got != 1 {
			t.Errorf("%v closed for room, want 1", got)
		}
		for state, want := range map[string]float64{"new": 0, "active": 0, "idle": 3} {
			if got := r.metric(t, "berth_connections", state); got != want {
				t.Errorf("%v connections are %s, want %v", got, state, want)
			}
		}
		for range 2 { // with keep-alive off, these take the places of the others
			time.Sleep(3 * time.Second)
			r.client.Transport.(*http.Transport).CloseIdleConnections()
			r.dial(t)
			r.dial(t)
		}
		if alive(idle) || alive(recent) {
			t.Error("resting connections are open still")
		}
		if n := r.logged("as many connections"); n != 1 {
			t.Errorf("warned %d times within a minute, want 1", n)
		}
	})
}

func TestNoRequestIsCutToMakeRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		r := newRig(t, server.Options{MaxConnections: 2, Handler: http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			if q.URL.Path == "/slow" {
				<-release
			}
			fmt.Fprint(w, "fine")
		})})
		answered := make(chan string, 4)
		for _, path := range []string{"/slow", "/slow", "/1", "/2"} {
			go func() {
				r.wantFine(t, path)
				answered <- path
			}()
			synctest.Wait()
		}
		time.Sleep(time.Minute / 2)
		if len(answered) > 0 {
			t.Errorf("%s was answered beyond the limit", <-answered)
		}
		release <- struct{}{}
		synctest.Wait()
		for range 2 { // one place is enough for the others, one after the other
			time.Sleep(3 * time.Second)
			r.client.Transport.(*http.Transport).CloseIdleConnections()
		}
		synctest.Wait()
		if got := len(answered); got != 3 {
			t.Errorf("%d were answered, want all but the one that is slow still", got)
		}
		close(release)
		for range 4 {
			<-answered
		}
	})
}

func TestLimitCanBeRaised(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		r := newRig(t, server.Options{MaxConnections: 1, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			<-release
			fmt.Fprint(w, "fine")
		})})
		done := make(chan struct{}, 2)
		for range 2 {
			go func() { r.wantFine(t, "/"); done <- struct{}{} }()
			synctest.Wait()
		}
		if got := r.metric(t, "berth_connections", "active"); got != 1 {
			t.Errorf("%v requests run, want 1", got)
		}
		r.Limit(2)
		synctest.Wait()
		if got := r.metric(t, "berth_connections", "active"); got != 2 {
			t.Errorf("%v requests run, want 2", got)
		}
		close(release)
		<-done
		<-done
	})
}

func TestErrorsOfAccepting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, server.Options{})
		idle := r.keepAlive(t)
		time.Sleep(3 * time.Second)
		for _, errno := range []syscall.Errno{syscall.EMFILE, syscall.EMFILE, syscall.ENFILE, syscall.ECONNABORTED} {
			r.failing <- &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", errno)}
		}
		r.wantFine(t, "/")
		if got := r.metric(t, "berth_accept_errors_total", ""); got != 4 {
			t.Errorf("%v errors counted, want 4", got)
		}
		if bad, good := r.logged("cannot be accepted"), r.logged("accepted again"); bad != 1 || good != 1 {
			t.Errorf("logged %d times that it fails and %d times that it works again, want 1 and 1", bad, good)
		}
		if alive(idle) {
			t.Error("an idle connection keeps its descriptor")
		}
	})
}

func TestListenerThatIsBroken(t *testing.T) {
	l := newPipes()
	broken := errors.New("broken")
	l.failing <- broken
	s := server.New(server.Options{Handler: http.NotFoundHandler()})
	defer s.Close()
	if err := s.Serve(l); !errors.Is(err, broken) {
		t.Errorf("Serve: %v", err)
	}
}

// Clients that send a header byte by byte, or nothing, hold their places for a bounded time.
func TestSlowClients(t *testing.T) {
	for _, test := range []struct {
		name  string
		first string // sent at once; then a byte every five seconds
		bound time.Duration
	}{
		{"in the first header", "GET / HTTP/1.1\r\nHost: berth.test\r\nX: ", 30 * time.Second},
		{"without a header", "", 30 * time.Second},
		{"in the second header", "GET / HTTP/1.1\r\nHost: berth.test\r\n\r\nGET / HTTP/1.1\r\nHost: berth.test\r\nX: ", 30 * time.Second},
		{"idle", "GET / HTTP/1.1\r\nHost: berth.test\r\n\r\n", 2 * time.Minute},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, server.Options{})
				c := r.dial(t)
				began := time.Now()
				closed := make(chan time.Duration, 1)
				go func() {
					_, err := io.Copy(io.Discard, c)
					if err != nil {
						t.Error(err)
					}
					closed <- time.Since(began)
				}()
				if _, err := io.WriteString(c, test.first); err != nil {
					t.Fatal(err)
				}
				for strings.HasSuffix(test.first, "X: ") {
					time.Sleep(5 * time.Second)
					if _, err := io.WriteString(c, "a"); err != nil {
						break
					}
				}
				if took := <-closed; took < test.bound || took > test.bound+time.Second {
					t.Errorf("closed after %s, want %s", took, test.bound)
				}
			})
		})
	}
}

func TestFloodOfHeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, server.Options{})
		c := r.dial(t)
		go func() {
			fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: berth.test\r\n")
			for i := range 1_000_000 {
				if _, err := fmt.Fprintf(c, "X-%d: a\r\n", i); err != nil {
					return
				}
			}
			t.Error("a million headers were read")
		}()
		response, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || response.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("%v, %v", response, err)
		}
		c.Close()
		r.wantFine(t, "/")
	})
}
