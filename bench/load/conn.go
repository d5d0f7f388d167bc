package load

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

var (
	// errStatus says that the server answered with something else than 200.
	errStatus = errors.New("refused")
	// errBytes says that a body is not what its digest stands for.
	errBytes = errors.New("wrong bytes")
	// errProtocol says that an answer is no HTTP that this client reads.
	errProtocol = errors.New("answer not understood")
)

// bufferSize is what a connection reads at once, in bytes. A thousand clients have several
// connections each.
const bufferSize = 64 << 10

// accept is what clients of registries ask manifests as.
const accept = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, " +
	"application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json"

// dialer makes the connections of a run.
type dialer struct {
	addr string
	tls  *tls.Config // nil without
	auth string      // the header's value, empty without
}

func newDialer(p Plan) (*dialer, error) {
	d := &dialer{addr: p.Addr}
	if p.Certificate == "" {
		return d, nil
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(p.Certificate)) {
		return nil, fmt.Errorf("%w: no certificate in what it trusts", ErrPlan)
	}
	d.tls = &tls.Config{RootCAs: roots, NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS12}
	return d, nil
}

// request is what goes over the wire to ask for path, as method.
func (d *dialer) request(method, path string) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: berth-bench\r\n", method, path, d.addr)
	if strings.Contains(path, "/manifests/") {
		b.WriteString("Accept: " + accept + "\r\n")
	}
	if d.auth != "" {
		b.WriteString("Authorization: " + d.auth + "\r\n")
	}
	return []byte(b.String() + "\r\n")
}

// dial connects; the connection and all that happens on it end with ctx.
func (d *dialer) dial(ctx context.Context) (*conn, error) {
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", d.addr)
	if err != nil {
		return nil, err
	}
	if d.tls != nil {
		config := d.tls.Clone()
		config.ServerName, _, _ = strings.Cut(d.addr, ":")
		secure := tls.Client(raw, config)
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, errors.Join(err, raw.Close())
		}
		raw = secure
	}
	return newConn(ctx, raw), nil
}

// conn is one connection, for one request at a time.
type conn struct {
	raw   net.Conn
	in    *bufio.Reader
	unend func() bool
	// used says that the server has answered on it: it may have closed it since.
	used bool
}

func newConn(ctx context.Context, raw net.Conn) *conn {
	return &conn{
		raw: raw, in: bufio.NewReaderSize(raw, bufferSize),
		unend: context.AfterFunc(ctx, func() { raw.Close() }),
	}
}

func (c *conn) close() {
	c.unend()
	c.raw.Close()
}

// answer is what came back.
type answer struct {
	length int64
	// last says that the server closes the connection after it.
	last bool
	// first is when the body's first byte was here; zero without a body.
	first time.Time
}

// ask sends a request and reads the answer, comparing its body with the target, unless
// head says that there is none.
func (c *conn) ask(request []byte, t Target, head bool) (answer, error) {
	if _, err := c.raw.Write(request); err != nil {
		return answer{}, fmt.Errorf("ask: %w", err)
	}
	a, err := c.header()
	if err != nil {
		return a, err
	}
	if a.length != t.size() {
		return a, fmt.Errorf("%w: %d of them instead of %d", errBytes, a.length, t.size())
	}
	if head {
		return a, nil
	}
	for offset := int64(0); offset < a.length; {
		// One byte makes the buffer fill with all that is here.
		if _, err := c.in.Peek(1); err != nil {
			return a, fmt.Errorf("read body: %w", err)
		}
		if offset == 0 {
			a.first = time.Now()
		}
		p, err := c.in.Peek(int(min(int64(c.in.Buffered()), a.length-offset)))
		if err != nil {
			return a, fmt.Errorf("read body: %w", err)
		}
		if !t.equal(p, offset) {
			return a, fmt.Errorf("%w from %d on", errBytes, offset)
		}
		offset += int64(len(p))
		if _, err := c.in.Discard(len(p)); err != nil {
			return a, fmt.Errorf("read body: %w", err)
		}
	}
	return a, nil
}

// header reads the answer's lines before the body.
func (c *conn) header() (answer, error) {
	a := answer{length: -1}
	line, err := c.line()
	if err != nil {
		return a, err
	}
	c.used = true
	version, rest, _ := bytes.Cut(line, []byte(" "))
	status := string(rest[:min(3, len(rest))])
	if !bytes.HasPrefix(version, []byte("HTTP/1.")) {
		return a, fmt.Errorf("%w: begins with %q", errProtocol, line)
	}
	a.last = bytes.Equal(version, []byte("HTTP/1.0"))
	for {
		if line, err = c.line(); err != nil {
			return a, err
		}
		if len(line) == 0 {
			break
		}
		if err := a.read(line); err != nil {
			return a, err
		}
	}
	if status != "200" {
		return a, fmt.Errorf("%w: %s", errStatus, status)
	}
	if a.length < 0 {
		return a, fmt.Errorf("%w: no length", errProtocol)
	}
	return a, nil
}

// read takes what matters from one line of a header.
func (a *answer) read(line []byte) error {
	name, value, _ := bytes.Cut(line, []byte(":"))
	value = bytes.TrimSpace(value)
	// Lengths tell almost all lines apart without comparing.
	switch {
	case len(name) == len("content-length") && bytes.EqualFold(name, []byte("content-length")):
		n, err := strconv.ParseInt(string(value), 10, 64)
		if err != nil || n < 0 {
			return fmt.Errorf("%w: length %q", errProtocol, value)
		}
		a.length = n
	case len(name) == len("connection") && bytes.EqualFold(name, []byte("connection")):
		a.last = a.last || bytes.EqualFold(value, []byte("close"))
	}
	return nil
}

// line reads one line without its end. It is good until the next read.
func (c *conn) line() ([]byte, error) {
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return nil, fmt.Errorf("read header: %w", err)
	}
	return bytes.TrimRight(line, "\r\n"), nil
}
