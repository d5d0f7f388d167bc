package server

import (
	"io"
	"os"
	"syscall"
)

// Impatient is a file that is to be copied to a client without waiting for it. net/http
// holds 32 KiB for each copy that waits: a thousand clients that pull a layer were 32 MiB.
// So who copies an Impatient waits itself, when the error is a *Busy, and copies on.
type Impatient struct{ *os.File }

// Busy is the error of a copy that would have to wait for the client.
type Busy struct{ client syscall.RawConn }

func (b *Busy) Error() string { return "the client takes no more for now" }

// impatient is the file that r is a stretch of, nil if it may be waited for.
func impatient(r io.Reader) (*io.LimitedReader, *os.File) {
	if stretch, ok := r.(*io.LimitedReader); ok {
		if file, ok := stretch.R.(Impatient); ok {
			return stretch, file.File
		}
	}
	return nil, nil
}
