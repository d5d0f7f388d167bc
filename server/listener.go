package server

import (
	"errors"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"
)

const (
	// firstPause and maxPause are between two tries to accept while the system has no
	// descriptor or memory for another connection.
	firstPause = 5 * time.Millisecond
	maxPause   = time.Second
	// lookAgain is how often it is looked for a connection that rests, while all places are
	// taken and none is given up.
	lookAgain = time.Second
)

// passing are errors of accepting that are about the moment or one client, and not about
// the listener: accept(2).
var passing = []error{
	syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM,
	syscall.ECONNABORTED, syscall.EPROTO, syscall.EPERM, syscall.ENETDOWN, syscall.ENETUNREACH,
	syscall.EHOSTDOWN, syscall.EHOSTUNREACH,
}

// listener accepts no more connections than there may be. One more than that is accepted,
// and waits here for a place; those after it wait in the kernel's queue.
type listener struct {
	net.Listener
	connections *connections
	closed      chan struct{}
	once        sync.Once
	troubled    bool // the last try to accept failed; Accept alone uses it
}

func newListener(l net.Listener, c *connections) *listener {
	return &listener{Listener: l, connections: c, closed: make(chan struct{})}
}

// Accept implements net.Listener. It is not for concurrent use.
func (l *listener) Accept() (net.Conn, error) {
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		c, err := l.Listener.Accept()
		if err == nil {
			return l.admit(c)
		}
		if !slices.ContainsFunc(passing, func(e error) bool { return errors.Is(err, e) }) {
			return nil, err
		}
		l.trouble(err)
		if !l.wait(pause) {
			return nil, net.ErrClosed
		}
	}
}

// admit returns c once there is a place for it.
func (l *listener) admit(c net.Conn) (net.Conn, error) {
	if l.troubled {
		l.troubled = false
		l.connections.logger.Info("connections are accepted again")
	}
	for l.connections.full() {
		l.connections.warn()
		if l.connections.shed() > 0 {
			continue
		}
		if !l.wait(lookAgain) {
			c.Close()
			return nil, net.ErrClosed
		}
	}
	admitted := newConnection(c, l.connections)
	l.connections.add(admitted)
	return admitted, nil
}

// trouble counts an error of accepting, logs the first, and makes room.
func (l *listener) trouble(err error) {
	l.connections.metrics.acceptFailed()
	if !l.troubled {
		l.troubled = true
		l.connections.logger.Error("connections cannot be accepted; trying again", "error", err)
	}
	l.connections.shed()
}

// wait waits until a connection was closed or the time is over, and returns false when the
// listener was closed.
func (l *listener) wait(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-l.connections.freed:
	case <-timer.C:
	case <-l.closed:
		return false
	}
	return true
}

// Close implements net.Listener.
func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}
