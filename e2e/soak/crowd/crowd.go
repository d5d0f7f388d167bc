package crowd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// dialling is how many connections are made at a time.
	dialling = 64
	// soon bounds what has to happen at once.
	soon = 30 * time.Second
)

// Crowd is many connections to one address.
type Crowd struct {
	addr string
	// ctx ends those that keep doing something.
	ctx    context.Context //nolint:containedctx // it is the crowd's own life, ended by Close
	cancel context.CancelFunc
	doing  sync.WaitGroup

	// mu guards what is below.
	mu     sync.Mutex
	conns  []net.Conn
	floods map[string]int // answers to floods
}

// New returns an empty crowd in front of an address. It goes home when tb ends.
func New(tb testing.TB, addr string) *Crowd {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(tb.Context()))
	c := &Crowd{addr: addr, ctx: ctx, cancel: cancel, floods: map[string]int{}}
	tb.Cleanup(c.Close)
	return c
}

// Close ends everything and waits for it.
func (c *Crowd) Close() {
	c.cancel()
	c.mu.Lock()
	conns := c.conns
	c.conns = nil
	c.mu.Unlock()
	for _, conn := range conns {
		conn.Close()
	}
	c.doing.Wait()
}

// Open is how many connections the other side has not closed yet, as far as that is known
// here: the end of one that stalls is behind bytes that nobody takes.
func (c *Crowd) Open() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	open := 0
	for _, conn := range c.conns {
		if established(conn) {
			open++
		}
	}
	return open
}

func established(conn net.Conn) bool {
	tcp, ok := conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return false
	}
	is := false
	err = raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		is = err == nil && info.State == unix.BPF_TCP_ESTABLISHED
	})
	return is && err == nil
}

// Floods are the first lines of what was answered to floods, and how often.
func (c *Crowd) Floods() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	copied := map[string]int{}
	for line, n := range c.floods {
		copied[line] = n
	}
	return copied
}

// each makes n connections, a few at a time, and does something first with each.
func (c *Crowd) each(tb testing.TB, n int, first func(net.Conn) error) {
	tb.Helper()
	var dialers sync.WaitGroup
	failed := make(chan error, dialling)
	for d := range dialling {
		dialers.Go(func() {
			for i := d; i < n; i += dialling {
				if err := c.one(first); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	dialers.Wait()
	close(failed)
	for err := range failed {
		tb.Fatal(err)
	}
}

func (c *Crowd) one(first func(net.Conn) error) error {
	conn, err := c.dial()
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.conns = append(c.conns, conn)
	c.mu.Unlock()
	if first == nil {
		return nil
	}
	return first(conn)
}

// dial connects with a small buffer for what comes, so that the other side soon notices
// that nobody takes it.
func (c *Crowd) dial() (net.Conn, error) {
	small := func(_, _ string, raw syscall.RawConn) error {
		var err error
		controlErr := raw.Control(func(fd uintptr) {
			err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 16<<10)
		})
		return errors.Join(err, controlErr)
	}
	dialer := net.Dialer{Timeout: soon, Control: small}
	conn, err := dialer.DialContext(c.ctx, "tcp", c.addr)
	if err != nil {
		return nil, fmt.Errorf("crowd: %w", err)
	}
	return conn, nil
}

// say sends text and takes so many bytes of the answer.
func say(conn net.Conn, text string, take int) error {
	if _, err := io.WriteString(conn, text); err != nil {
		return fmt.Errorf("crowd: %w", err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(soon)); err != nil {
		return fmt.Errorf("crowd: %w", err)
	}
	if _, err := io.ReadFull(conn, make([]byte, take)); err != nil {
		return fmt.Errorf("crowd: answer to %q: %w", text, err)
	}
	return nil
}
