package berth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/berth-cache/berth/e2e/child"
	"github.com/berth-cache/berth/e2e/port"
)

// errNotReady says that the program answers, but not yet with yes.
var errNotReady = errors.New("not ready")

// Server is a running Berth with a data folder and addresses of its own.
type Server struct {
	command   child.Command
	addr, ops string
	daemon    *child.Daemon
}

// Start runs the program with config until tb ends.
func Start(tb testing.TB, binary string, config Config) *Server {
	tb.Helper()
	home := child.Folder(tb)
	s := &Server{addr: port.Reserve(tb), ops: port.Reserve(tb)}
	settings := file{
		Config: config, Listen: s.addr, Ops: s.ops, Data: home + "/data",
		Log:   map[string]string{"level": "debug", "format": "text"},
		Cache: map[string]string{"min_free": "0"}, // also where the machine is short of space
	}
	if err := settings.write(home + "/berth.yaml"); err != nil {
		tb.Fatal(err)
	}
	s.command = child.Command{
		Path: binary, Args: []string{"serve", "--config", home + "/berth.yaml"},
		Env: child.Environ(home, port.Reserve(tb)),
	}
	s.daemon = child.Start(tb, s.command, s.ready)
	return s
}

// Restart ends the program and starts it again with the same data and addresses.
func (s *Server) Restart(tb testing.TB) {
	tb.Helper()
	s.daemon.Stop()
	s.daemon = child.Start(tb, s.command, s.ready)
}

// Addr is the 127.0.0.1:port that clients name.
func (s *Server) Addr() string { return s.addr }

// URL is the base URL of the registry, without a slash at its end.
func (s *Server) URL() string { return "http://" + s.addr }

func (s *Server) ready(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.ops+"/readyz", nil)
	if err != nil {
		return fmt.Errorf("ask for readiness: %w", err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("ask for readiness: %w", err)
	}
	if err := response.Body.Close(); err != nil {
		return fmt.Errorf("ask for readiness: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%w: %s", errNotReady, response.Status)
	}
	return nil
}
