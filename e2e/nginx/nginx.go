package nginx

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/template"

	"github.com/berth-cache/berth/e2e/certificate"
	"github.com/berth-cache/berth/e2e/child"
	"github.com/berth-cache/berth/e2e/port"
)

// program is where Debian has it, which is in few users' search path.
const program = "/usr/sbin/nginx"

var config = template.Must(template.New("nginx.conf").Parse(`
{{- if .Root}}user root;
{{end -}}
daemon off;
master_process off;
error_log stderr warn;
pid {{.Folder}}/pid;
events {}
http {
  log_format lines '$server_port $server_protocol $request_method $request_uri $status';
  access_log {{.Folder}}/access.log lines;
  default_type application/octet-stream;
  client_body_temp_path {{.Folder}}/body;
  proxy_temp_path {{.Folder}}/proxy;
  fastcgi_temp_path {{.Folder}}/fastcgi;
  uwsgi_temp_path {{.Folder}}/uwsgi;
  scgi_temp_path {{.Folder}}/scgi;
  server {
    listen {{.Addr}}{{if .Certificate}} ssl http2;
    ssl_certificate {{.Certificate}};
    ssl_certificate_key {{.Key}}{{end}};
{{- if .Storage}}
    location ~ ^/v2/.+/blobs/sha256:([0-9a-f][0-9a-f])([0-9a-f]+)$ {
      return 307 http://{{.CDN}}/sha256/$1/$1$2/data?signature=secret;
    }
{{- end}}
    location / {
      proxy_pass {{.Registry}};
      proxy_set_header Host $http_host;
      proxy_http_version 1.1;
    }
  }
{{- if .Storage}}
  server {
    listen {{.CDN}};
    root {{.Storage}};
    location / {
      if ($arg_signature != secret) { return 403; }
      if ($http_authorization) { return 400; }
    }
  }
{{- end}}
}
`))

// Options say what nginx is.
type Options struct {
	// Registry is the URL of what is behind it.
	Registry string
	// Storage is the folder of a registry's blobs, sha256/ab/<digest>/data. Blobs are
	// redirected to a second address that serves it, and there to signed URLs alone,
	// without a login. Empty is neither.
	Storage string
	// TLS serves TLS and HTTP/2.
	TLS bool
}

// Server is nginx at addresses of its own.
type Server struct {
	// Addr is its 127.0.0.1:port, CDN the localhost:port of blobs.
	Addr, CDN string
	authority string
	folder    string
	command   child.Command
	daemon    *child.Daemon
}

// Missing says why nginx cannot run here; empty if it can.
func Missing() string {
	if _, err := exec.LookPath(program); err != nil {
		return program + " is not installed (Debian: nginx-light)"
	}
	return ""
}

// Start runs nginx until tb ends.
func Start(tb testing.TB, o Options) *Server {
	tb.Helper()
	s := &Server{Addr: port.Reserve(tb), folder: child.Folder(tb)}
	s.CDN = strings.Replace(port.Reserve(tb), "127.0.0.1", "localhost", 1)
	values := map[string]any{
		"Root": os.Geteuid() == 0, "Folder": s.folder, "Addr": s.Addr, "CDN": s.CDN,
		"Registry": o.Registry, "Storage": o.Storage, "Certificate": "", "Key": "",
	}
	if o.TLS {
		c := certificate.New(tb)
		s.authority = s.write(tb, "authority.pem", c.Authority)
		values["Certificate"], values["Key"] = s.write(tb, "certificate.pem", c.Certificate), s.write(tb, "key.pem", c.Key)
	}
	var text strings.Builder
	if err := config.Execute(&text, values); err != nil {
		tb.Fatal(err)
	}
	name := s.write(tb, "nginx.conf", []byte(text.String()))
	s.command = child.Command{Path: program, Args: []string{"-p", s.folder, "-c", name}, Env: os.Environ()}
	s.Resume(tb)
	return s
}

// write writes a file in the server's folder and returns its path.
func (s *Server) write(tb testing.TB, name string, content []byte) string {
	tb.Helper()
	path := filepath.Join(s.folder, name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

// Stop ends nginx and all its connections.
func (s *Server) Stop() { s.daemon.Stop() }

// Resume starts nginx again at the same addresses.
func (s *Server) Resume(tb testing.TB) {
	tb.Helper()
	s.daemon = child.Start(tb, s.command, s.ready)
}

// Authority is the file of who signed the certificate; empty without TLS.
func (s *Server) Authority() string { return s.authority }

// URL is the registry's base URL, without a slash at its end.
func (s *Server) URL() string {
	if s.authority != "" {
		return "https://" + s.Addr
	}
	return "http://" + s.Addr
}

// Requests are all requests so far, as "port protocol method path status".
func (s *Server) Requests(tb testing.TB) []string {
	tb.Helper()
	log, err := os.ReadFile(filepath.Join(s.folder, "access.log"))
	if err != nil {
		tb.Fatal(err)
	}
	return slices.Collect(strings.Lines(string(log)))
}

func (s *Server) ready(ctx context.Context) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", s.Addr)
	if err != nil {
		return fmt.Errorf("reach nginx: %w", err)
	}
	return conn.Close()
}
