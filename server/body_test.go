package server_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berth-cache/berth/server"
)

// No request has a body; net/http waits for the one that was announced before it sends an
// answer, in which time the connection counts as active.
func TestBodyThatNeverEnds(t *testing.T) {
	for _, announced := range []string{"Content-Length: 1", "Transfer-Encoding: chunked"} {
		t.Run(announced, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, server.Options{})
				c := r.dial(t)
				began := time.Now()
				if err := c.SetReadDeadline(began.Add(time.Hour)); err != nil {
					t.Fatal(err)
				}
				if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: berth.test\r\n"+announced+"\r\n\r\n"); err != nil {
					t.Fatal(err)
				}
				answer, err := io.ReadAll(c)
				if took := time.Since(began); err != nil || took < 30*time.Second || took > 31*time.Second {
					t.Errorf("closed after %s with %q, %v; want 30 s", took, answer, err)
				}
			})
		})
	}
}

func TestDownloadOutlivesTheTimeForItsRequest(t *testing.T) {
	const pieces = 10
	slow := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for range pieces {
			time.Sleep(20 * time.Second)
			if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Minute)); err != nil {
				t.Error(err)
			}
			fmt.Fprint(w, "piece ")
		}
	})
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, server.Options{Handler: slow})
		c := r.dial(t)
		from := bufio.NewReader(c)
		for range 2 { // the connection is as good as new for the second
			if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: berth.test\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			answer, err := http.ReadResponse(from, nil)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(answer.Body)
			if err != nil || string(body) != strings.Repeat("piece ", pieces) {
				t.Errorf("%q, %v", body, err)
			}
		}
	})
}
