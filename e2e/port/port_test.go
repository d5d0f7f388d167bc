package port_test

import (
	"errors"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/berth-cache/berth/e2e/port"
)

func TestReserveRefusesUntilSomebodyListens(t *testing.T) {
	addr := port.Reserve(t)
	var dialer net.Dialer
	for range 3 {
		if _, err := dialer.DialContext(t.Context(), "tcp", addr); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("dial with no listener: got %v, want connection refused", err)
		}
		var config net.ListenConfig
		listener, err := config.Listen(t.Context(), "tcp", addr)
		if err != nil {
			t.Fatalf("listen on the reserved address: %v", err)
		}
		conn, err := dialer.DialContext(t.Context(), "tcp", addr)
		if err != nil {
			t.Fatalf("dial the listener: %v", err)
		}
		if err := errors.Join(conn.Close(), listener.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestReserveKeepsAddressesApart(t *testing.T) {
	seen := map[string]bool{}
	for range 50 {
		addr := port.Reserve(t)
		if seen[addr] {
			t.Fatalf("%s was handed out twice", addr)
		}
		seen[addr] = true
	}
}

// TestListenWaits: a process that is just being started still has the listener that was
// closed here.
func TestListenWaits(t *testing.T) {
	addr := port.Reserve(t)
	first, err := port.Listen(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	inherited, err := first.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	first.Close()
	if l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", addr); err == nil {
		l.Close()
		t.Fatal("nobody listens any more")
	}
	time.AfterFunc(50*time.Millisecond, func() { inherited.Close() })
	second, err := port.Listen(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	second.Close()
}
