package port

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// Reserve chooses a free TCP port of 127.0.0.1 and keeps it until tb ends. A bound socket
// that never listens holds it: connections are refused, the system gives the port to
// nobody else, and a listener with SO_REUSEADDR (Go's default) may still take it, leave it
// and take it again.
func Reserve(tb testing.TB) string {
	tb.Helper()
	fd, number, err := bind()
	if err != nil {
		tb.Fatalf("reserve a loopback port: %v", err)
	}
	tb.Cleanup(func() {
		if err := syscall.Close(fd); err != nil {
			tb.Errorf("release port %d: %v", number, err)
		}
	})
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(number))
}

func bind() (fd, number int, err error) {
	fd, err = syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, 0, fmt.Errorf("socket: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, syscall.Close(fd))
		}
	}()
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		return 0, 0, fmt.Errorf("reuse address: %w", err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return 0, 0, fmt.Errorf("bind: %w", err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		return 0, 0, fmt.Errorf("socket name: %w", err)
	}
	inet, ok := name.(*syscall.SockaddrInet4)
	if !ok {
		return 0, 0, fmt.Errorf("socket name: unexpected %T", name)
	}
	return fd, inet.Port, nil
}

// busyFor bounds how long a port may be in the hands of a process that is being started.
const busyFor = 5 * time.Second

// Listen listens at a reserved address, again if need be: a process that is forked while a
// listener there is open has that too, until it becomes another program.
func Listen(ctx context.Context, addr string) (net.Listener, error) {
	limit, tick := time.After(busyFor), time.NewTicker(10*time.Millisecond)
	defer tick.Stop()
	for {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
		if err == nil || !errors.Is(err, syscall.EADDRINUSE) {
			return l, err
		}
		select {
		case <-tick.C:
		case <-limit:
			return nil, err
		case <-ctx.Done():
			return nil, err
		}
	}
}
