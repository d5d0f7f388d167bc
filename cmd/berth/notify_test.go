package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/berth-cache/berth/state"
)

// systemd is what listens to us.
type systemd struct {
	*net.UnixConn
	address string
}

func newSystemd(t *testing.T, address string) *systemd {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
	must(t, err)
	t.Cleanup(func() { c.Close() })
	return &systemd{c, address}
}

// hears returns the next message, of which the time in RELOADING is left out.
func (s *systemd) hears(t *testing.T) string {
	t.Helper()
	must(t, s.SetReadDeadline(time.Now().Add(time.Minute)))
	buffer := make([]byte, 4096)
	n, err := s.Read(buffer)
	must(t, err)
	message, _, _ := strings.Cut(string(buffer[:n]), "\nSTATUS=")
	name, micros, _ := strings.Cut(message, "\nMONOTONIC_USEC=")
	if name == "RELOADING=1" && strings.Trim(micros, "0123456789") != "" || micros == "0" {
		t.Errorf("the time is %q", micros)
	}
	return name
}

// eventuallyHears skips what says that we are alive.
func (s *systemd) eventuallyHears(t *testing.T, want string) {
	t.Helper()
	for {
		switch got := s.hears(t); got {
		case want:
			return
		case "WATCHDOG=1":
		default:
			t.Fatalf("heard %q, want %q", got, want)
		}
	}
}

func TestManagerIsTold(t *testing.T) {
	hidden := "@berth-test-" + filepath.Base(t.TempDir()) + "-" + time.Now().Format("150405.000000000")
	for name, address := range map[string]string{"path": filepath.Join(t.TempDir(), "notify"), "abstract": hidden} {
		t.Run(name, func(t *testing.T) {
			s := newSystemd(t, address)
			folder := t.TempDir()
			p := start(t, folder, upstreamOf("http://127.0.0.1:1", ""), "NOTIFY_SOCKET="+address, "WATCHDOG_USEC=100000")
			s.eventuallyHears(t, "READY=1")
			if got := s.hears(t); got != "WATCHDOG=1" {
				t.Errorf("heard %q, want that it is alive", got)
			}
			p.signal(t, syscall.SIGHUP)
			s.eventuallyHears(t, "RELOADING=1")
			s.eventuallyHears(t, "READY=1")
			configure(t, folder, "upstreams: {}\n")
			p.signal(t, syscall.SIGHUP)
			s.eventuallyHears(t, "RELOADING=1")
			s.eventuallyHears(t, "READY=1") // a refused one is over, too
			p.signal(t, syscall.SIGTERM)
			s.eventuallyHears(t, "STOPPING=1")
			s.eventuallyHears(t, "WATCHDOG=1")
			p.wantExit(t, 0)
			if strings.Contains(p.log(), "service manager") {
				t.Errorf("the log is\n%s", p.log())
			}
		})
	}
}

// Without a file there is nothing to read again, which is over at once.
func TestManagerIsToldOfAReloadOfNothing(t *testing.T) {
	address := filepath.Join(t.TempDir(), "notify")
	s := newSystemd(t, address)
	logger := slog.New(slog.DiscardHandler)
	r := &reloader{cache: &berth{logger: logger}, manager: newManager(address, logger)}
	r.reload(true)
	s.eventuallyHears(t, "RELOADING=1")
	s.eventuallyHears(t, "READY=1")
}

func TestManagerThatIsGone(t *testing.T) {
	p := start(t, t.TempDir(), upstreamOf("http://127.0.0.1:1", ""), "NOTIFY_SOCKET=/nowhere/at/all")
	p.want(t, p.url+"/v2/", 200, nil)
	p.wantLog(t, `"msg":"service manager cannot be told","error":"dial unixgram /nowhere/at/all`)
}

// The queue of a socket that nobody reads fills up, and then a write to it waits.
func TestManagerThatDoesNotListen(t *testing.T) {
	s := newSystemd(t, filepath.Join(t.TempDir(), "notify"))
	var log bytes.Buffer
	m := newManager(s.address, slog.New(slog.NewTextHandler(&log, nil)))
	m.bound = time.Millisecond
	for log.Len() == 0 {
		m.alive()
	}
	if !strings.Contains(log.String(), "i/o timeout") {
		t.Error(log.String())
	}
}

func TestWatchdogOfAnother(t *testing.T) {
	for name, test := range map[string]struct {
		micros, pid string
		want        time.Duration
	}{
		"none":      {"", "", 0},
		"ours":      {"30000000", "us", 15 * time.Second},
		"no pid":    {"30000000", "", 15 * time.Second},
		"another's": {"30000000", "1", 0},
		"nonsense":  {"often", "", 0},
		"negative":  {"-5", "", 0},
	} {
		pid := strings.ReplaceAll(test.pid, "us", strconv.Itoa(os.Getpid()))
		if got := watchEvery(func(k string) string {
			return map[string]string{"WATCHDOG_USEC": test.micros, "WATCHDOG_PID": pid}[k]
		}); got != test.want {
			t.Errorf("%s: every %s, want %s", name, got, test.want)
		}
	}
}

// slow is a state that answers after a while, with an error if it has one.
type slow struct {
	state.Store
	after time.Duration
	err   error
}

func (s slow) Get(context.Context, string) ([]byte, error) {
	time.Sleep(s.after)
	return nil, s.err
}

func TestWatchdogChecks(t *testing.T) {
	answers := func(status int) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/v2/" {
				t.Errorf("pinged %s", r.URL)
			}
			w.WriteHeader(status)
			io.WriteString(w, "{}") //nolint:errcheck // nobody reads it
		})
	}
	for name, test := range map[string]struct {
		facts  slow
		status int
		want   string
	}{
		"well":               {slow{after: time.Millisecond}, 200, ""},
		"no such key":        {slow{err: state.ErrNotFound}, 200, ""},
		"state in trouble":   {slow{after: checkBound, err: errors.New("refused")}, 200, ""},
		"state that hangs":   {slow{after: time.Hour}, 200, "state answered after 1h0m0s: <nil>"},
		"handler in tatters": {slow{}, 500, "ping: status 500"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &watchdog{facts: test.facts, handler: answers(test.status)}
				got := ""
				if err := w.check(t.Context()); err != nil {
					got = err.Error()
				}
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
			})
		})
	}
}
