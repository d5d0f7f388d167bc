package proxy

import (
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/berth-cache/berth/cache"
	"github.com/berth-cache/berth/pull"
	"github.com/berth-cache/berth/server"
)

// response is an answer on its way: it counts, keeps a client from stalling for ever, and
// leaves the copying of files to the kernel.
type response struct {
	http.ResponseWriter
	stall time.Duration
	began time.Time

	kind                            kind
	registry, repository, reference string
	upstream, outcome, detail       string
	// hint is added to the message if the name leads to nothing.
	hint string

	values      values
	status      int
	bytes       int64
	clientError error // of a write: the client is gone, or took nothing for too long
	paced       bool  // a write deadline is set
	timed       bool  // the server has set one, for each request anew
	streamed    bool  // over HTTP/2, where a deadline ends the stream even if nothing is written
	discard     bool  // ServeContent's own text of a 416 is replaced
	// whole is the blob that ServeContent serves.
	whole *cache.Reader
}

var (
	_ io.ReaderFrom = (*response)(nil)
	_ http.Flusher  = (*response)(nil)
)

// came sets the header that tells where an answer comes from.
func (w *response) came(o pull.Origin) {
	w.upstream, w.outcome, w.detail = o.Upstream, string(o.Outcome), o.Detail
	w.values.set(w.Header(), keyCacheStatus, cacheStatus(o))
}

// confirmed sets the header that tells how long ago an upstream last confirmed an answer.
// A blob goes without: its digest proves it.
func (w *response) confirmed(o pull.Origin) {
	w.values.set(w.Header(), keyAge, strconv.FormatInt(int64(o.Age/time.Second), 10))
}

// cacheStatus is RFC 9211's account of an answer.
func cacheStatus(o pull.Origin) string {
	switch o.Outcome {
	case pull.Hit:
		return "berth; hit"
	case pull.Joined:
		return "berth; fwd=miss; collapsed"
	case pull.Unstored:
		return "berth; fwd=miss"
	case pull.Unchanged:
		return "berth; hit; fwd=stale; detail=confirmed"
	case pull.Changed:
		return "berth; fwd=stale; stored"
	case pull.Stale:
		return "berth; hit; fwd=stale; detail=" + o.Detail
	default:
		return "berth; fwd=miss; stored"
	}
}

// WriteHeader implements http.ResponseWriter.
func (w *response) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	if status == http.StatusRequestedRangeNotSatisfiable && !w.discard {
		w.discard = true
		w.Header()[keyAPIVersion] = apiVersion
		if w.whole != nil { // ServeContent says so only of ranges that it could read
			w.Header().Set("Content-Range", "bytes */"+strconv.FormatInt(w.whole.Size(), 10))
		}
		writeError(&rangeError{w.ResponseWriter, w}, &apiError{
			status: status, code: codeUnsupported,
			message: "the blob does not have that range of bytes, or it cannot be read: Content-Range tells the blob's size",
		}, http.MethodGet)
		return
	}
	w.ResponseWriter.WriteHeader(status)
}

// rangeError writes past the response that is discarding ServeContent's text.
type rangeError struct {
	http.ResponseWriter
	counted *response
}

func (e *rangeError) Write(p []byte) (int, error) {
	n, err := e.ResponseWriter.Write(p)
	e.counted.bytes += int64(n)
	return n, err
}

// Write implements io.Writer.
func (w *response) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	if w.discard {
		return len(p), nil
	}
	if !w.soon(len(p)) {
		w.pace()
	}
	n, err := w.ResponseWriter.Write(p)
	w.wrote(int64(n), err)
	w.rest()
	return n, err
}

// ReadFrom implements io.ReaderFrom, so that a file's bytes need not pass through us:
// content copies itself here as it comes, file by file, and the kernel sends those.
func (w *response) ReadFrom(src io.Reader) (int64, error) {
	limit := int64(math.MaxInt64)
	if l, ok := src.(*io.LimitedReader); ok {
		src, limit = l.R, l.N // two of them around a file would cost sendfile
	}
	if r, ok := src.(*cache.Reader); ok {
		return r.CopyN(w, limit)
	}
	file, ok := src.(*os.File)
	if !ok {
		return w.relay(io.LimitReader(src, limit))
	}
	if w.status == 0 {
		w.status = http.StatusOK
	}
	var done int64
	for done < limit {
		w.pace()
		n, err := w.send(file, min(stretch, limit-done))
		w.rest()
		done += n
		if errors.Is(err, io.EOF) {
			w.wrote(n, nil)
			return done, nil
		}
		w.wrote(n, err)
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// pieces are buffers for what does not come from a file.
var pieces = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// relay copies what may be slow to come, which is not the client's fault: each piece has its
// time from when it is there.
func (w *response) relay(src io.Reader) (int64, error) {
	piece := pieces.Get().(*[32 << 10]byte) //nolint:errcheck // the pool holds nothing else
	defer pieces.Put(piece)
	return io.CopyBuffer(struct{ io.Writer }{w}, src, piece[:])
}

// send copies n bytes. It waits itself for a client that takes no more.
func (w *response) send(file *os.File, n int64) (done int64, err error) {
	for {
		m, err := io.CopyN(w.ResponseWriter, server.Impatient{File: file}, n-done)
		done += m
		busy, ok := errors.AsType[*server.Busy](err)
		if !ok {
			return done, err
		}
		if err := busy.Await(); err != nil {
			return done, err
		}
	}
}

func (w *response) wrote(n int64, err error) {
	w.bytes += n
	if err != nil {
		w.clientError = err
	}
}

// copied says how a body's copy ended. One that broke on our side must not look complete:
// the connection is cut instead.
func (w *response) copied(ours, theirs error) error {
	switch {
	case ours != nil && w.status == 0:
		return ours
	case errors.Is(ours, context.Canceled): // reads end with the request
		w.outcome = "client_gone"
		panic(http.ErrAbortHandler)
	case ours != nil:
		w.outcome = "broken"
		panic(http.ErrAbortHandler)
	case theirs != nil && !errors.Is(theirs, io.EOF):
		w.outcome = "client_gone"
	}
	return nil
}

// Flush implements http.Flusher.
func (w *response) Flush() {
	//nolint:errcheck // a connection that cannot be flushed fails at its next write
	http.NewResponseController(w.ResponseWriter).Flush()
}

// Unwrap lets http.ResponseController reach the connection.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }
