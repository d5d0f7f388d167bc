package server

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// sendMost is what one call of the kernel sends at most, as in package net.
const sendMost = 4 << 20

// sendFile sends of a stretch of a file what the client takes without a wait; a *Busy tells
// that there is more. It has not sent where the kernel cannot send this file here.
func (c *connection) sendFile(stretch *io.LimitedReader, file *os.File) (n int64, sent bool, err error) {
	conn, ok := c.Conn.(syscall.Conn)
	if !ok {
		return 0, false, nil
	}
	to, err := conn.SyscallConn()
	if err != nil {
		return 0, true, err
	}
	from, err := file.SyscallConn()
	if err != nil {
		return 0, true, err
	}
	var unread, unsent error
	err = to.Write(func(client uintptr) bool {
		unread = from.Control(func(content uintptr) {
			n, unsent = send(int(client), int(content), stretch.N)
		})
		return true
	})
	stretch.N -= n
	switch {
	case err != nil || unread != nil:
		return n, true, errors.Join(err, unread)
	case errors.Is(unsent, unix.EAGAIN):
		return n, true, &Busy{to}
	case n == 0 && (errors.Is(unsent, unix.EINVAL) || errors.Is(unsent, errors.ErrUnsupported) || errors.Is(unsent, unix.EPERM)):
		return 0, false, nil
	}
	return n, true, blamed(unsent, file)
}

// unreadable are errors of a file that cannot be read: a bad sector, a file system that is
// damaged, a file server that has lost it. No connection has them.
var unreadable = []error{unix.EIO, unix.EUCLEAN, unix.EBADMSG, unix.ESTALE}

// blamed is the error of sendfile as the end that it came from would have it.
func blamed(err error, file *os.File) error {
	if slices.ContainsFunc(unreadable, func(e error) bool { return errors.Is(err, e) }) {
		return &fs.PathError{Op: "read", Path: file.Name(), Err: err}
	}
	return os.NewSyscallError("sendfile", err)
}

// send is sendfile until all size bytes are gone, the file ends or something is in the way.
func send(client, content int, size int64) (done int64, err error) {
	for done < size {
		n, err := unix.Sendfile(client, content, nil, int(min(size-done, sendMost)))
		done += max(0, int64(n))
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return done, err
		case n == 0: // it is shorter than it was
			return done, nil
		}
	}
	return done, nil
}

// Await waits until the client takes more, or the deadline for writing to it is over.
func (b *Busy) Await() error {
	return b.client.Write(func(client uintptr) bool {
		// It may have become ready before the runtime began to listen for that.
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(client), Events: unix.POLLOUT}}, 0)
		return n > 0 || err != nil && !errors.Is(err, unix.EINTR)
	})
}
