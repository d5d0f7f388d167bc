package contender

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/berth-cache/berth/bench/process"
)

// objectSize is what nginx counts for a small object: files are counted in blocks.
const objectSize = 4096

// nginxConfig is nginx as a cache at its best: one fill for all who wait for it, kept
// connections, no temporary copies, two workers for two processors.
var nginxConfig = template.Must(template.New("nginx.conf").Parse(`
{{- if .Root}}user root;
{{end -}}
daemon off;
worker_processes 2;
worker_rlimit_nofile 65536;
error_log stderr error;
pid {{.Folder}}/nginx.pid;
events { worker_connections 16384; }
http {
  access_log {{.Folder}}/access.log combined;
  default_type application/octet-stream;
  sendfile on;
  keepalive_timeout 300s;
  keepalive_requests 100000000;
  client_body_temp_path {{.Folder}}/body;
  proxy_temp_path {{.Folder}}/proxy;
  fastcgi_temp_path {{.Folder}}/fastcgi;
  uwsgi_temp_path {{.Folder}}/uwsgi;
  scgi_temp_path {{.Folder}}/scgi;
  proxy_cache_path {{.Held}} levels=1:2 keys_zone=bench:{{.ZoneMiB}}m {{.Limit}} inactive=30d use_temp_path=off
    manager_files=10000 manager_threshold=200ms manager_sleep=50ms;
  upstream bench {
    server {{.Upstream}};
    keepalive 256;
    keepalive_requests 100000000;
    keepalive_timeout 300s;
  }
  server {
    listen {{.Addr}} backlog=4096;
    location / {
      proxy_pass {{.Scheme}}://bench;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host {{.Upstream}};
      proxy_cache bench;
      proxy_cache_key $uri;
      proxy_cache_valid 200 30d;
      proxy_cache_lock on;
      proxy_cache_lock_timeout 120s;
      proxy_cache_lock_age 120s;
      proxy_read_timeout 120s;
    }
  }
}
`))

func arrangeNginx(_ context.Context, p Programs, s *Server) (func() process.Command, error) {
	switch {
	case p.Nginx == "":
		return nil, fmt.Errorf("%w: nginx is not installed (Debian: nginx-light)", ErrAbsent)
	case s.setting.Upstream.Conditions.Auth:
		return nil, fmt.Errorf("%w: nginx cannot get a token", ErrAbsent)
	}
	scheme, _, _ := strings.Cut(s.setting.Upstream.URL(), ":")
	values := map[string]any{
		"Root": os.Geteuid() == 0, "Folder": s.setting.Folder, "Held": s.Held, "Addr": s.addr,
		"Upstream": s.setting.Upstream.Addr, "Scheme": scheme, "Limit": "",
		// A MiB is said to hold 8,000 keys.
		"ZoneMiB": 16 + s.setting.Keys/6000,
	}
	if n := s.setting.MaxObjects; n > 0 {
		values["Limit"] = fmt.Sprintf("max_size=%dk", n*objectSize>>10)
	}
	file := filepath.Join(s.setting.Folder, "nginx.conf")
	var text strings.Builder
	if err := nginxConfig.Execute(&text, values); err != nil {
		return nil, fmt.Errorf("arrange nginx: %w", err)
	}
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		return nil, fmt.Errorf("arrange nginx: %w", err)
	}
	c := process.Command{Path: p.Nginx, Args: []string{"-p", s.setting.Folder, "-c", file}, CPUs: s.setting.CPUs}
	return func() process.Command { return c }, nil
}
