package proxy_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-cache/berth/proxy"
	"github.com/berth-cache/berth/server"
)

// overTCP is a rig whose Berth is reached over a real network, and its address.
func overTCP(t *testing.T, options func(*proxy.Options)) (*rig, string) {
	t.Helper()
	r := newRig(t, plan{upstreams: []far{{name: "hub"}}, options: options})
	return r, listens(t, r)
}

// listens serves h as cmd/berth does, and returns the address.
func listens(t *testing.T, h http.Handler) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	s := server.New(server.Options{Handler: h})
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := s.Serve(l); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		s.Close()
		serving.Wait()
	})
	return l.Addr().String()
}

// asks sends a GET over a connection whose client takes little at a time.
func asks(t *testing.T, address, path string, header ...string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	check(t, err)
	t.Cleanup(func() { c.Close() })
	tcp := c.(*net.TCPConn)
	check(t, tcp.SetReadBuffer(16<<10))
	_, err = io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: berth\r\n"+strings.Join(header, "\r\n")+"\r\n\r\n")
	check(t, err)
	return tcp
}

func TestFilesReachSlowClientsWhole(t *testing.T) {
	r, address := overTCP(t, nil)
	layer := noise(1, 12*mib+17)
	path := blobPath("app", r.hubs["hub"].AddBlob("app", layer))
	for name, test := range map[string]struct {
		header []string
		want   []byte
	}{
		"all of it":  {nil, layer},
		"a range":    {[]string{"Range: bytes=1000000-9000000"}, layer[1000000:9000001]},
		"to the end": {[]string{"Range: bytes=3000000-"}, layer[3000000:]},
	} {
		t.Run(name, func(t *testing.T) {
			var all sync.WaitGroup
			for range 4 {
				c := asks(t, address, path, test.header...)
				all.Go(func() {
					answer, err := http.ReadResponse(bufio.NewReader(c), nil)
					if err != nil {
						t.Error(err)
						return
					}
					body, err := io.ReadAll(answer.Body)
					if err != nil || !bytes.Equal(body, test.want) {
						t.Errorf("%s: %d bytes, %v; want %d", answer.Status, len(body), err, len(test.want))
					}
				})
			}
			all.Wait()
		})
	}
}

func TestSocketThatTakesNothingIsGivenUp(t *testing.T) {
	lines := make(lines, 10)
	r, address := overTCP(t, func(o *proxy.Options) {
		o.WriteStall, o.Access = 50*time.Millisecond, proxy.NewAccessLog(lines, proxy.Text)
	})
	layer := noise(1, 32*mib)
	path := blobPath("app", r.hubs["hub"].AddBlob("app", layer))
	c := asks(t, address, path)
	if line := <-lines; !strings.Contains(line, "outcome=client_gone") {
		t.Errorf("the line is %s", line)
	}
	check(t, c.SetReadDeadline(time.Now().Add(time.Minute)))
	n, err := io.Copy(io.Discard, c)
	if errors.Is(err, os.ErrDeadlineExceeded) || n >= 32*mib {
		t.Errorf("%d bytes came, then %v", n, err)
	}
}

// lines are those of a log, as they come.
type lines chan string

func (l lines) Write(p []byte) (int, error) {
	l <- string(p)
	return len(p), nil
}

func TestOtherHandlersOfAServerSendFilesAsEver(t *testing.T) {
	name := t.TempDir() + "/file"
	content := noise(1, 12*mib)
	check(t, os.WriteFile(name, content, 0o600))
	address := listens(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, name) }))
	answer, err := http.ReadResponse(bufio.NewReader(asks(t, address, "/file")), nil)
	check(t, err)
	body, err := io.ReadAll(answer.Body)
	if err != nil || !bytes.Equal(body, content) {
		t.Errorf("%s: %d bytes, %v", answer.Status, len(body), err)
	}
}
