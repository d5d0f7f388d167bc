package server_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/berth-cache/berth/server"
)

// sender is a connection that sends what it reads, as the kernel does files.
type sender struct {
	net.Conn
	sent, halved *atomic.Int64
}

func (s sender) ReadFrom(r io.Reader) (int64, error) {
	n, err := io.Copy(struct{ io.Writer }{s.Conn}, r)
	s.sent.Add(n)
	return n, err
}

func (s sender) CloseWrite() error {
	s.halved.Add(1)
	return nil
}

// What a connection can do beyond net.Conn is not lost: files would go through us, and
// refused clients get a reset before they have read why.
func TestAbilitiesOfConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := strings.Repeat("x", 100_000)
		r := newRig(t, server.Options{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100000")
			if _, err := io.Copy(w, struct{ io.Reader }{strings.NewReader(body)}); err != nil {
				t.Error(err)
			}
		})})
		for _, able := range []bool{true, false} {
			var sent, halved atomic.Int64
			ours, theirs := net.Pipe()
			if able {
				theirs = sender{theirs, &sent, &halved}
			}
			r.incoming <- theirs
			fmt.Fprint(ours, "GET / HTTP/1.1\r\nHost: berth.test\r\nConnection: close\r\n\r\n")
			got, err := io.ReadAll(ours)
			if !strings.HasSuffix(string(got), "\r\n\r\n"+body) || err != nil {
				t.Errorf("%d bytes came, %v", len(got), err)
			}
			if able && sent.Load() < 90_000 {
				t.Errorf("%d bytes were sent by the connection, want all but those of the header's write", sent.Load())
			}
			ours.Close()
		}
	})
}

func TestRefusedClientIsClosedInTwoSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, server.Options{})
		var sent, halved atomic.Int64
		ours, theirs := net.Pipe()
		r.incoming <- sender{theirs, &sent, &halved}
		go func() {
			fmt.Fprint(ours, "GET / HTTP/1.1\r\nX: "+strings.Repeat("x", 100_000)+"\r\n\r\n")
		}()
		if answer, err := io.ReadAll(ours); !strings.HasPrefix(string(answer), "HTTP/1.1 431 ") || err != nil {
			t.Errorf("%q, %v", answer, err)
		}
		if halved.Load() != 1 {
			t.Error("the connection was not closed for writing first")
		}
	})
}
