package server

import (
	"errors"
	"io/fs"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// The reader of a file is told what is wrong with it, the writer to a client what that did.
func TestErrorOfTheEndThatFailed(t *testing.T) {
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for failed, files := range map[error]bool{unix.EIO: true, unix.EUCLEAN: true, unix.ESTALE: true, unix.EPIPE: false, unix.ECONNRESET: false} {
		err := blamed(failed, f)
		read, ok := errors.AsType[*fs.PathError](err)
		if !errors.Is(err, failed) || ok != files || ok && read.Op != "read" {
			t.Errorf("%v: %#v, want one of the file: %t", failed, err, files)
		}
	}
	if err := blamed(nil, f); err != nil {
		t.Errorf("nothing failed: %v", err)
	}
}
