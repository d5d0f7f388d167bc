package server

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"testing"
	"time"
)

// connected is both ends of a connection, the server's first.
func connected(t *testing.T) (*connection, net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	return newConnection(server, newConnections(1, nil, slog.New(slog.DiscardHandler))), client
}

// stretchOf is a stretch of a new file of size bytes without content.
func stretchOf(t *testing.T, size, length int64) *io.LimitedReader {
	t.Helper()
	f, err := os.Create(t.TempDir() + "/file")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	return &io.LimitedReader{R: Impatient{f}, N: length}
}

func TestSendingDoesNotWaitForTheClient(t *testing.T) {
	const size = 64 << 20 // more than the kernel takes
	server, client := connected(t)
	stretch := stretchOf(t, size, size)
	sent, err := server.ReadFrom(stretch)
	for err == nil && sent < size { // the kernel may take it in several helpings
		var n int64
		n, err = server.ReadFrom(stretch)
		sent += n
	}
	busy, ok := errors.AsType[*Busy](err)
	if !ok || sent == 0 || stretch.N != size-sent {
		t.Fatalf("%d bytes sent, %d left, %v; want a busy client", sent, stretch.N, err)
	}
	if err := server.SetWriteDeadline(time.Now().Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	if err := busy.Await(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("waiting past the deadline: %v", err)
	}
	if _, err := server.ReadFrom(stretch); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("sending past the deadline: %v", err)
	}
	if err := server.SetWriteDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	taken := make(chan int64)
	go func() {
		n, _ := io.Copy(io.Discard, client) //nolint:errcheck // the number tells
		taken <- n
	}()
	for stretch.N > 0 {
		if err := busy.Await(); err != nil {
			t.Fatal(err)
		}
		n, err := server.ReadFrom(stretch)
		if _, again := errors.AsType[*Busy](err); err != nil && !again {
			t.Fatal(err)
		}
		sent += n
	}
	server.Close()
	if n := <-taken; n != size || sent != size {
		t.Errorf("%d bytes sent and %d taken, want %d", sent, n, size)
	}
}

func TestFileThatIsShorterThanItWas(t *testing.T) {
	server, _ := connected(t)
	stretch := stretchOf(t, 100, 200)
	if n, err := server.ReadFrom(stretch); n != 100 || err != nil || stretch.N != 100 {
		t.Errorf("%d bytes, %v, %d left; want 100, as a copy that came to the end", n, err, stretch.N)
	}
}

func TestClientThatLeft(t *testing.T) {
	server, client := connected(t)
	stretch := stretchOf(t, 64<<20, 64<<20)
	_, err := server.ReadFrom(stretch)
	busy, ok := errors.AsType[*Busy](err)
	if !ok {
		t.Fatal(err)
	}
	if err := client.(*net.TCPConn).SetLinger(0); err != nil { // it resets
		t.Fatal(err)
	}
	client.Close()
	err = busy.Await()
	if err == nil { // that something is to be said is all that poll tells
		_, err = server.ReadFrom(stretch)
	}
	if _, still := errors.AsType[*Busy](err); err == nil || still || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("sending to a client that left: %v", err)
	}
}
