package upstreamtest

import (
	"io"
	"log"
	"net/http"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
)

// shortHex is how much of a digest the record shows.
const shortHex = 12

// quiet swallows what net/http says about connections that break on purpose.
var quiet = log.New(io.Discard, "", 0)

// Record is one request as it came.
type Record struct {
	// Text is the line that Requests gives; the package comment documents it.
	Text string
	// Host is the Host header, Proto e.g. "HTTP/2.0".
	Host, Proto string
	// Header is a copy of the request's.
	Header http.Header
}

// Requests returns what came since the beginning or the last Reset, one line a request.
func (r *Registry) Requests() []string {
	lines := []string{}
	for _, rec := range r.Records() {
		lines = append(lines, rec.Text)
	}
	return lines
}

// Records is Requests with the headers.
func (r *Registry) Records() []Record {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.record)
}

// Count tells how many requests so far have a line that starts with prefix.
func (r *Registry) Count(prefix string) int {
	n := 0
	for _, line := range r.Requests() {
		if strings.HasPrefix(line, prefix) {
			n++
		}
	}
	return n
}

// Reset forgets the record, and nothing else.
func (r *Registry) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.record = nil
}

// Short is a digest as the record shows it: the algorithm and the first 12 hex digits.
func Short(d digest.Digest) string {
	algorithm, hex, ok := strings.Cut(string(d), ":")
	if !ok || len(hex) <= shortHex {
		return string(d)
	}
	return algorithm + ":" + hex[:shortHex]
}

func (r *Registry) write(q *http.Request, op operation) {
	rec := Record{Text: op.line(q), Host: q.Host, Proto: q.Proto, Header: q.Header.Clone()}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.record = append(r.record, rec)
}
