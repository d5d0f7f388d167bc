package proxy

import (
	"io"
	"net/http"
	"sync"
	"time"
)

// AccessLog writes one line a request. It is safe for concurrent use if its writer is,
// which gets every line in one piece and may not keep it.
type AccessLog struct {
	out   io.Writer
	lines sync.Pool // of *line
}

// NewAccessLog returns a log that is written to out. What out fails to write is lost.
func NewAccessLog(out io.Writer, form Form) *AccessLog {
	a := &AccessLog{out: out}
	a.lines.New = func() any { return &line{json: form == JSON} }
	return a
}

// write writes the line of a request that was answered with w.
func (a *AccessLog) write(w *response, r *http.Request) {
	now := time.Now()
	status := w.status
	if status == 0 {
		status = 499 // the client left before there was an answer
	}
	l := a.lines.Get().(*line) //nolint:errcheck // there is nothing else in the pool
	defer a.lines.Put(l)
	// Neither query nor credentials: what is named here may be read by many.
	l.begin(now, "request")
	l.string("method", clip(r.Method))
	l.int("status", int64(status))
	l.string("registry", w.registry)
	l.string("repository", w.repository)
	l.string("kind", string(w.kind))
	l.string("reference", w.reference)
	l.string("upstream", w.upstream)
	l.string("outcome", w.outcome)
	l.int("bytes", w.bytes)
	l.duration("took", now.Sub(w.began))
	l.string("client", r.RemoteAddr)
	l.string("agent", clip(r.UserAgent()))
	if w.detail != "" {
		l.string("detail", w.detail) // why it is stale
	}
	if w.registry == "" {
		l.string("path", clip(r.URL.Path)) // led to nothing: all there is
	}
	l.end()
	a.out.Write(l.text) //nolint:errcheck // a pull does not fail for its line in a log
}
