package state_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/berth-cache/berth/state"
	"github.com/berth-cache/berth/state/statetest"
)

// countDials counts r's dials from now on.
func countDials(r *state.Redis) *atomic.Int64 {
	dials := new(atomic.Int64)
	r.OnDial(func() { dials.Add(1) })
	return dials
}

// wantRefusals makes many calls to a Redis that is down. However long they take, at most
// one a second may have gone out to see.
func wantRefusals(t *testing.T, r *state.Redis, dials *atomic.Int64) {
	t.Helper()
	start, before := time.Now(), dials.Load()
	for range 500 {
		// The engine's own deadline must not look like the caller's.
		if _, err := r.Get(t.Context(), "k"); !errors.Is(err, state.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Get = %v, want ErrUnavailable alone", err)
		}
	}
	if n, allowed := dials.Load()-before, int64(time.Since(start)/state.GateRest)+1; n > allowed {
		t.Errorf("500 calls to a dead Redis dialed %d times, %d are allowed", n, allowed)
	}
}

// lockedBuffer is a log that can be read while others write it.
type lockedBuffer struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// TestRedisRestart kills the server under load and starts it again: the engine needs no
// restart, and in between callers are refused at once.
func TestRedisRestart(t *testing.T) {
	server := statetest.StartRedis(t)
	log := new(lockedBuffer)
	r := newRedis(t, state.RedisOptions{
		URL: state.RedisURL(server.URL()), Logger: slog.New(slog.NewTextHandler(log, nil)),
	})
	dials := countDials(r)

	stop, cancel := context.WithCancel(t.Context())
	var load sync.WaitGroup
	var worked, refused atomic.Int64
	for i := range 16 {
		load.Go(func() {
			for stop.Err() == nil {
				switch err := r.Put(stop, fmt.Sprint(i), []byte("v"), time.Hour); {
				case err == nil:
					worked.Add(1)
				case errors.Is(err, state.ErrUnavailable):
					refused.Add(1)
					time.Sleep(time.Millisecond)
				case stop.Err() == nil:
					t.Errorf("Put = %v, want ErrUnavailable", err)
				}
			}
		})
	}
	defer load.Wait()
	defer cancel()
	waitFor(t, "the load works", func() bool { return worked.Load() > 1000 })

	for range 2 {
		server.Stop()
		before := refused.Load()
		waitFor(t, "the load is refused", func() bool { return refused.Load() > before+100 && r.Down() })
		wantRefusals(t, r, dials)
		server.Start()
		again := worked.Load()
		waitFor(t, "the load works again", func() bool { return worked.Load() > again+1000 })
	}
	cancel()
	load.Wait()
	if down, up := strings.Count(log.String(), "redis is unavailable"), strings.Count(log.String(), "available again"); down < 2 || up < 2 {
		t.Errorf("the log tells of %d outages and %d ends, want 2 and 2 at least:\n%s", down, up, log)
	}
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(unhurried); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still waiting: %s", what)
		}
	}
}

func TestRedisPasswords(t *testing.T) {
	const secret = "pa/ss w@rd#1"
	server := statetest.StartRedis(t, "--requirepass", secret)
	for name, test := range map[string]struct{ user, want string }{
		"right":        {":pa%2Fss%20w%40rd%231@", ""},
		"right user":   {"default:pa%2Fss%20w%40rd%231@", ""},
		"wrong":        {":wrong-secret@", "WRONGPASS"},
		"unknown user": {"nobody:wrong-secret@", "WRONGPASS"},
		"none":         {"", "NOAUTH"},
	} {
		t.Run(name, func(t *testing.T) {
			url := "redis://" + test.user + server.Addr
			r := newRedis(t, state.RedisOptions{URL: state.RedisURL(url), Timeout: unhurried})
			err := r.Put(t.Context(), "k", nil, 0)
			if test.want == "" {
				must(t, err)
				return
			}
			if !errors.Is(err, state.ErrUnavailable) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Put = %v, want ErrUnavailable for %s", err, test.want)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("the error tells the password: %v", err)
			}
			if !r.Down() {
				t.Error("the gate is open: every call would try to log in again")
			}
		})
	}
}

// fakeRedis answers every command with what answer says, and closes the connection when
// that is empty. It stands for servers in a state that a real one cannot be put in.
func fakeRedis(t *testing.T, answer func(args []string) string) (addr string, conns *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	conns = new(atomic.Int64)
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conns.Add(1)
			serving.Go(func() {
				defer conn.Close()
				in := bufio.NewReader(conn)
				for args := readCommand(in); args != nil; args = readCommand(in) {
					reply := answer(args)
					if reply == "" {
						return
					}
					if _, err := io.WriteString(conn, reply); err != nil {
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() {
		must(t, l.Close())
		serving.Wait()
	})
	return l.Addr().String(), conns
}

// readCommand reads an array of bulk strings; nil at the end.
func readCommand(in *bufio.Reader) []string {
	number := func() int {
		line, err := in.ReadString('\n')
		if err != nil {
			return -1
		}
		n, err := strconv.Atoi(strings.TrimSpace(line[1:]))
		if err != nil {
			return -1
		}
		return n
	}
	args := []string{}
	for n := number(); len(args) < n; {
		arg := make([]byte, max(0, number())+2)
		if _, err := io.ReadFull(in, arg); err != nil {
			return nil
		}
		args = append(args, string(arg[:len(arg)-2]))
	}
	if len(args) == 0 {
		return nil
	}
	return args
}

func TestRedisErrorReplies(t *testing.T) {
	for name, test := range map[string]struct {
		reply, want string
		down        bool
	}{
		"loading":      {"-LOADING Redis is loading the dataset in memory\r\n", "LOADING", true},
		"cluster down": {"-CLUSTERDOWN The cluster is down\r\n", "CLUSTERDOWN", true},
		"master down":  {"-MASTERDOWN Link with MASTER is down\r\n", "MASTERDOWN", true},
		"clients":      {"-ERR max number of clients reached\r\n", "max number of clients", true},
		"noauth":       {"-NOAUTH Authentication required.\r\n", "NOAUTH", true},
		"cut":          {"", "EOF", true},
		"not redis":    {"HTTP/1.1 400 Bad Request\r\n\r\n", "HTTP/1.1", true},
		"read only":    {"-READONLY You can't write against a read only replica.\r\n", "READONLY", false},
		"memory":       {"-OOM command not allowed when used memory > 'maxmemory'.\r\n", "OOM", false},
		"permission":   {"-NOPERM this user has no permissions\r\n", "NOPERM", false},
		"disk":         {"-MISCONF Redis is configured to save RDB snapshots\r\n", "MISCONF", false},
		"moved":        {"-MOVED 3999 127.0.0.1:1\r\n", "MOVED", false},
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int64
			addr, _ := fakeRedis(t, func(args []string) string {
				if strings.EqualFold(args[0], "hello") {
					return "-ERR unknown command\r\n"
				}
				asked.Add(1)
				return test.reply
			})
			r := newRedis(t, state.RedisOptions{URL: state.RedisURL("redis://" + addr), Timeout: unhurried})
			err := r.Put(t.Context(), "k", nil, 0)
			if !errors.Is(err, state.ErrUnavailable) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Put = %v, want ErrUnavailable for %s", err, test.want)
			}
			if n := asked.Load(); n != 1 {
				t.Errorf("a write was sent %d times, it might be applied as often", n)
			}
			if r.Down() != test.down {
				t.Errorf("down = %v, want %v", r.Down(), test.down)
			}
		})
	}
}

// TestRedisQuotesPassword has a server that lacks AUTH and quotes what it was sent.
func TestRedisQuotesPassword(t *testing.T) {
	addr, _ := fakeRedis(t, func(args []string) string {
		return fmt.Sprintf("-ERR unknown command '%s', with args beginning with: '%s'\r\n", args[0], strings.Join(args[1:], "' '")[:4])
	})
	r := newRedis(t, state.RedisOptions{URL: state.RedisURL("redis://:wxyz-secret@" + addr), Timeout: unhurried})
	err := r.Put(t.Context(), "k", nil, 0)
	if !errors.Is(err, state.ErrUnavailable) || !strings.Contains(err.Error(), "unknown command 'auth'") {
		t.Errorf("Put = %v, want ErrUnavailable for the unknown command", err)
	}
	if strings.Contains(err.Error(), "wxyz") {
		t.Errorf("the error tells the password: %v", err)
	}
}

// TestRedisSilent has a server that takes connections and never answers.
func TestRedisSilent(t *testing.T) {
	silence := make(chan struct{})
	addr, conns := fakeRedis(t, func([]string) string {
		<-silence
		return ""
	})
	t.Cleanup(func() { close(silence) })
	options := state.RedisOptions{URL: state.RedisURL("redis://" + addr), Timeout: 20 * time.Millisecond}

	t.Run("patient caller", func(t *testing.T) {
		r := newRedis(t, options)
		before := conns.Load()
		dials := countDials(r)
		wantRefusals(t, r, dials)
		if conns.Load() == before {
			t.Error("the server was never asked")
		}
	})
	t.Run("close", func(t *testing.T) {
		options.Timeout = unhurried
		r := newRedis(t, options)
		before, ended := conns.Load(), make(chan error, 1)
		go func() { ended <- r.Put(t.Context(), "k", nil, 0) }()
		waitFor(t, "the call is under way", func() bool { return conns.Load() > before })
		must(t, r.Close())
		if err := <-ended; !errors.Is(err, state.ErrUnavailable) {
			t.Errorf("Put under way = %v, want ErrUnavailable", err)
		}
		if err := r.Put(t.Context(), "k", nil, 0); !errors.Is(err, state.ErrUnavailable) {
			t.Errorf("Put after Close = %v, want ErrUnavailable", err)
		}
	})
}

// TestRedisCallerLeaves has a caller with less patience than Redis deserves: it is
// released at once, and what comes of its call still counts.
func TestRedisCallerLeaves(t *testing.T) {
	asked, cut := make(chan struct{}), make(chan struct{})
	addr, _ := fakeRedis(t, func([]string) string {
		close(asked)
		<-cut
		return ""
	})
	r := newRedis(t, state.RedisOptions{URL: state.RedisURL("redis://" + addr), Timeout: unhurried})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	if _, err := r.Get(ctx, "k"); !errors.Is(err, context.Canceled) || errors.Is(err, state.ErrUnavailable) {
		t.Errorf("Get = %v, want the caller's own cancellation", err)
	}
	if r.Down() {
		t.Error("a caller that left shut the gate")
	}
	close(cut)
	waitFor(t, "the gate is shut", r.Down)
}

func TestRedisDoesNotConnect(t *testing.T) {
	addr, conns := fakeRedis(t, func([]string) string { return "" })
	must(t, newRedis(t, state.RedisOptions{URL: state.RedisURL("redis://" + addr)}).Close())
	if n := conns.Load(); n != 0 {
		t.Errorf("%d connections without a call", n)
	}
}
