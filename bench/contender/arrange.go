package contender

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/berth-cache/berth/bench/process"
)

// The names of the contenders, in the order that they are shown in.
const (
	Floor        = "floor"
	Direct       = "direct"
	Nginx        = "nginx"
	Distribution = "distribution"
	// BerthOne is Berth with one connection a blob.
	BerthOne = "berth-1"
	Berth    = "berth"
)

// Names are all contenders in order.
var Names = []string{Floor, Direct, Nginx, Distribution, BerthOne, Berth}

// arrangements write what each contender needs into its folder and tell how it is started,
// as often as it is.
var arrangements = map[string]func(context.Context, Programs, *Server) (func() process.Command, error){
	Floor:        arrangeFloor,
	Nginx:        arrangeNginx,
	Distribution: arrangeDistribution,
	BerthOne:     arrangeBerth,
	Berth:        arrangeBerth,
}

func arrangeFloor(_ context.Context, p Programs, s *Server) (func() process.Command, error) {
	stock, err := json.Marshal(s.setting.Stock)
	if err != nil {
		return nil, fmt.Errorf("arrange floor: %w", err)
	}
	return func() process.Command {
		return process.Command{
			Path: p.Floor, Args: []string{s.addr, s.Held}, CPUs: s.setting.CPUs,
			Stdin: bytes.NewReader(stock),
		}
	}, nil
}

func arrangeDistribution(_ context.Context, p Programs, s *Server) (func() process.Command, error) {
	c := process.Command{
		Path: p.Distribution, Args: []string{s.addr, s.setting.Upstream.URL(), s.Held}, CPUs: s.setting.CPUs,
		// It would export telemetry to nowhere.
		Env: []string{"OTEL_TRACES_EXPORTER=none"},
	}
	file, err := s.certificate()
	if err != nil {
		return nil, fmt.Errorf("arrange distribution: %w", err)
	}
	if file != "" {
		c.Env = append(c.Env, "SSL_CERT_FILE="+file)
	}
	return func() process.Command { return c }, nil
}

// arrangeBerth leaves all settings as they are by default: access log and metrics are on.
// A limit is one of bytes. BerthOne has a setting of its own.
func arrangeBerth(ctx context.Context, p Programs, s *Server) (func() process.Command, error) {
	ops, err := free(ctx)
	if err != nil {
		return nil, err
	}
	ca, err := s.certificate()
	if err != nil {
		return nil, fmt.Errorf("arrange berth: %w", err)
	}
	remote := map[string]any{"url": s.setting.Upstream.URL()}
	if s.Name == BerthOne {
		remote["connections"] = 1
	}
	if ca != "" {
		remote["ca_file"] = ca
	}
	settings := map[string]any{
		"listen": s.addr, "ops": ops, "data": s.Held,
		"upstreams": map[string]any{"bench": remote},
	}
	if n := s.setting.MaxObjects; n > 0 {
		settings["cache"] = map[string]any{"max_size": fmt.Sprintf("%dB", n*s.setting.ObjectBytes)}
	}
	config, err := json.Marshal(settings)
	if err != nil {
		return nil, fmt.Errorf("arrange berth: %w", err)
	}
	// JSON is YAML as well.
	file := filepath.Join(s.setting.Folder, "berth.yaml")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		return nil, fmt.Errorf("arrange berth: %w", err)
	}
	c := process.Command{Path: p.Berth, Args: []string{"serve", "--config", file}, CPUs: s.setting.CPUs}
	return func() process.Command { return c }, nil
}

// certificate writes whom to trust to a file and returns its name; empty without TLS.
func (s *Server) certificate() (string, error) {
	if s.setting.Upstream.Certificate == "" {
		return "", nil
	}
	file := filepath.Join(s.setting.Folder, "upstream.pem")
	return file, os.WriteFile(file, []byte(s.setting.Upstream.Certificate), 0o600)
}
