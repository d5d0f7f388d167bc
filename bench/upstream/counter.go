package upstream

import (
	"io"
	"net/http"
	"sync/atomic"
)

// Counters are what the upstream was asked and gave since it started.
type Counters struct {
	// Connections were taken from registry clients.
	Connections int64 `json:"connections"`
	// Requests are all of them, those for tokens too; Manifests and Blobs the GETs among
	// them that were answered with content.
	Requests  int64 `json:"requests"`
	Manifests int64 `json:"manifests"`
	Blobs     int64 `json:"blobs"`
	// Bytes are those of bodies of manifests and blobs, as far as they were written.
	Bytes int64 `json:"bytes"`
}

// Sub is what was counted between before and c.
func (c Counters) Sub(before Counters) Counters {
	return Counters{
		Connections: c.Connections - before.Connections,
		Requests:    c.Requests - before.Requests,
		Manifests:   c.Manifests - before.Manifests,
		Blobs:       c.Blobs - before.Blobs,
		Bytes:       c.Bytes - before.Bytes,
	}
}

// counter counts while requests are served.
type counter struct {
	connections, requests, manifests, blobs, bytes atomic.Int64
}

func (c *counter) read() Counters {
	return Counters{
		Connections: c.connections.Load(), Requests: c.requests.Load(),
		Manifests: c.manifests.Load(), Blobs: c.blobs.Load(), Bytes: c.bytes.Load(),
	}
}

// body is w with what is written to it counted.
func (c *counter) body(w http.ResponseWriter) http.ResponseWriter { return &countedBody{w, &c.bytes} }

type countedBody struct {
	http.ResponseWriter
	bytes *atomic.Int64
}

var _ io.ReaderFrom = (*countedBody)(nil)

// Write counts first and takes back what was not written: whoever has a byte finds it
// counted.
func (b *countedBody) Write(p []byte) (int, error) {
	b.bytes.Add(int64(len(p)))
	n, err := b.ResponseWriter.Write(p)
	b.bytes.Add(int64(n - len(p)))
	return n, err
}

// ReadFrom copies in pieces that are large enough for the copying not to be the limit, and
// counts while it goes: a client that leaves half-way has had half.
func (b *countedBody) ReadFrom(r io.Reader) (int64, error) {
	return io.CopyBuffer(writerOnly{b}, r, make([]byte, copySize))
}

// copySize is how much of a body is made and written at a time, in bytes.
const copySize = 128 << 10

// writerOnly hides ReadFrom from io.CopyBuffer.
type writerOnly struct{ io.Writer }
