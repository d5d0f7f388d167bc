package contender

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/berth-cache/berth/bench/floor"
	"github.com/berth-cache/berth/bench/load"
	"github.com/berth-cache/berth/bench/process"
	"github.com/berth-cache/berth/bench/upstream"
)

var (
	// ErrAbsent says that a contender cannot take part, and why.
	ErrAbsent = errors.New("not measured")

	errNotReady = errors.New("not ready")
)

// Setting is what a contender is to do.
type Setting struct {
	// Folder is an existing one for all that the contender keeps.
	Folder   string
	Upstream upstream.Endpoint
	CPUs     process.CPUs
	// Stock is what a floor has; the others fetch it.
	Stock floor.Stock
	// Keys are about how many objects will be held.
	Keys int
	// MaxObjects is how many small objects the cache may hold, ObjectBytes the size of
	// each; 0 is no limit.
	MaxObjects, ObjectBytes int
}

// Server is a running contender.
type Server struct {
	// Name is the contender's.
	Name string
	// Held is the folder where the contender keeps content.
	Held    string
	addr    string
	setting Setting
	command func() process.Command
	daemon  *process.Daemon // nil for direct
}

// Start starts the contender of that name and returns once it serves. An error that is
// ErrAbsent says that it cannot take part.
func (p Programs) Start(ctx context.Context, name string, s Setting) (*Server, error) {
	server := &Server{Name: name, setting: s, Held: filepath.Join(s.Folder, "data")}
	if name == Direct {
		server.addr = s.Upstream.Addr
		return server, nil
	}
	arrange, ok := arrangements[name]
	if !ok {
		return nil, fmt.Errorf("%w: there is no %s", ErrAbsent, name)
	}
	var err error
	if server.addr, err = free(ctx); err != nil {
		return nil, err
	}
	if err := os.Mkdir(server.Held, 0o700); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	if server.command, err = arrange(ctx, p, server); err != nil {
		return nil, err
	}
	if _, err := server.begin(ctx, "/v2/"); err != nil {
		return nil, err
	}
	return server, nil
}

// Restart ends the contender and starts it again with what it holds. It returns how long
// it took from the start of the process until path was served.
func (s *Server) Restart(ctx context.Context, path string) (time.Duration, error) {
	s.Stop()
	return s.begin(ctx, path)
}

// Stop ends the contender and waits. What it holds stays.
func (s *Server) Stop() {
	if s.daemon != nil {
		s.daemon.Stop()
	}
}

// Plan is p aimed at the server.
func (s *Server) Plan(p load.Plan) load.Plan {
	p.Addr = s.addr
	if s.daemon == nil {
		p.Certificate, p.Login = s.setting.Upstream.Certificate, s.setting.Upstream.Conditions.Auth
	}
	return p
}

// Usage is what the contender's processes took since it was started; nothing for direct.
func (s *Server) Usage() (process.Usage, error) {
	if s.daemon == nil {
		return process.Usage{}, nil
	}
	return process.Proc().Usage(s.daemon.Pid())
}

// ResetPeak makes the peak of Usage begin again.
func (s *Server) ResetPeak() error {
	if s.daemon == nil {
		return nil
	}
	return process.ResetPeak(s.daemon.Pid())
}

func (s *Server) begin(ctx context.Context, path string) (time.Duration, error) {
	start := time.Now()
	d, err := process.Start(ctx, s.command(), filepath.Join(s.setting.Folder, "log"))
	if err != nil {
		return 0, err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	err = d.Await(ctx, func(ctx context.Context) error { return served(ctx, client, "http://"+s.addr+path) })
	if err != nil {
		d.Stop()
		return 0, fmt.Errorf("start %s: %w", s.Name, err)
	}
	s.daemon = d
	return time.Since(start), nil
}

// served tells no error if url is answered with 200.
func served(ctx context.Context, c *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%w: %s", errNotReady, resp.Status)
	}
	return nil
}

// free is an address of loopback that nobody listens at.
func free(ctx context.Context) (string, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return l.Addr().String(), l.Close()
}
