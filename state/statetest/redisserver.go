package statetest

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// RedisServer is a redis-server of a test's own: on loopback, nothing kept on disk.
type RedisServer struct {
	// Addr is its host:port, the same after every Start.
	Addr string

	t    testing.TB
	args []string
	dir  string
	run  *redisRun
}

// redisRun is one process of a RedisServer.
type redisRun struct {
	cmd    *exec.Cmd
	ready  chan struct{}   // closed when it accepts connections
	exited chan struct{}   // closed when it has gone
	output strings.Builder // complete once exited is closed
}

// StartRedis starts a Redis server that ends with the test. args are further arguments
// of redis-server, such as "--requirepass", "secret". Where redis-server is not installed
// the test is skipped, but fails if the environment says CI=true.
func StartRedis(t testing.TB, args ...string) *RedisServer {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("redis-server is required where CI=true: %v", err)
		}
		t.Skipf("redis-server is not installed: %v", err)
	}
	s := &RedisServer{Addr: freeAddr(t), t: t, args: args, dir: t.TempDir()}
	t.Cleanup(s.Stop)
	s.Start()
	return s
}

// URL returns the server's URL without credentials.
func (s *RedisServer) URL() string { return "redis://" + s.Addr }

// Stop kills the server, as a crash would; all it held is lost. Stopping one that has
// stopped does nothing.
func (s *RedisServer) Stop() {
	s.t.Helper()
	if s.run == nil {
		return
	}
	s.run.kill(s.t)
	s.run = nil
}

// Start starts the server again on its address, and returns when it accepts connections.
func (s *RedisServer) Start() {
	s.t.Helper()
	if s.run != nil {
		s.t.Fatal("redis-server runs already")
	}
	for deadline := time.Now().Add(patience); ; {
		run := s.launch()
		select {
		case <-run.ready:
			s.run = run
			return
		case <-run.exited:
		case <-time.After(time.Until(deadline)):
			run.kill(s.t)
		}
		// Somebody may hold the port for a moment: it is one of those that the
		// system gives to outgoing connections.
		if !strings.Contains(run.output.String(), "in use") || time.Now().After(deadline) {
			s.t.Fatalf("redis-server on %s did not start: %s", s.Addr, run.output.String())
		}
	}
}

func (s *RedisServer) launch() *redisRun {
	s.t.Helper()
	host, port, err := net.SplitHostPort(s.Addr)
	if err != nil {
		s.t.Fatal(err)
	}
	args := []string{"--bind", host, "--port", port, "--dir", s.dir, "--save", "", "--appendonly", "no"}
	// Not bound to the test's context: that ends before the cleanups that may still use it.
	cmd := exec.Command("redis-server", append(args, s.args...)...)
	cmd.SysProcAttr = endWithTest()
	output, err := cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		s.t.Fatalf("start redis-server: %v", err)
	}
	run := &redisRun{cmd: cmd, ready: make(chan struct{}), exited: make(chan struct{})}
	go run.follow(output)
	return run
}

// follow reads what the server says until it ends.
func (r *redisRun) follow(output io.Reader) {
	defer close(r.exited)
	lines := bufio.NewScanner(output)
	for ready := false; lines.Scan(); {
		r.output.WriteString(lines.Text() + "\n")
		if !ready && strings.Contains(lines.Text(), "Ready to accept connections") {
			ready = true
			close(r.ready)
		}
	}
	_ = r.cmd.Wait() //nolint:errcheck // it is killed, which Wait reports as an error
}

// kill ends the process and waits until it has gone.
func (r *redisRun) kill(t testing.TB) {
	t.Helper()
	if err := r.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("kill redis-server: %v", err)
	}
	<-r.exited
}

func freeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
