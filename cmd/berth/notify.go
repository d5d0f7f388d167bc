package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// tellBound is how long a manager that does not listen is waited for: pulls go on, but not
// a reload, a stop or the watchdog's look.
const tellBound = time.Second

// manager is who started us and wants to know how we are: systemd, by the protocol of
// sd_notify(3). A manager without an address is nobody.
type manager struct {
	address string // of a datagram socket: a path, or a name after an @
	logger  *slog.Logger
	serving string // the status while all is well
	bound   time.Duration
}

func newManager(address string, logger *slog.Logger) *manager {
	return &manager{address: address, logger: logger, bound: tellBound}
}

// ready says that we serve, and something else that is to be known, if anything is.
func (m *manager) ready(but string) {
	status := m.serving
	if but != "" {
		status += "; " + but
	}
	m.tell("READY=1", "STATUS="+status)
}

// reloading is followed by ready.
func (m *manager) reloading() {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		m.logger.Warn("monotonic clock", "error", err)
		return
	}
	// Type=notify-reload takes READY as the end of this reload by the time.
	m.tell("RELOADING=1", fmt.Sprintf("MONOTONIC_USEC=%d", now.Nano()/1000), "STATUS=Reading the configuration")
}

func (m *manager) stopping(status string) { m.tell("STOPPING=1", "STATUS="+status) }

// alive resets the watchdog.
func (m *manager) alive() { m.tell("WATCHDOG=1") }

// tell sends a message of some assignments. One that does not arrive is logged and nothing
// else: the manager knows by itself what to do.
func (m *manager) tell(lines ...string) {
	if m.address == "" {
		return
	}
	// Go takes a name after an @ for one in Linux's abstract name space, as systemd does.
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: m.address, Net: "unixgram"})
	if err == nil {
		if err = c.SetWriteDeadline(time.Now().Add(m.bound)); err == nil {
			_, err = c.Write([]byte(strings.Join(lines, "\n")))
		}
		err = errors.Join(err, c.Close())
	}
	if err != nil {
		m.logger.Warn("service manager cannot be told", "error", err)
	}
}
