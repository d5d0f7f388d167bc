package proxy

import (
	"context"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"github.com/berth-cache/berth/cache"
)

// inBytes is r without a Range of another unit than bytes, which RFC 9110 has us ignore.
func inBytes(r *http.Request) *http.Request {
	if ask := r.Header.Get("Range"); ask == "" || strings.HasPrefix(ask, "bytes=") {
		return r
	}
	r = r.Clone(r.Context())
	r.Header.Del("Range")
	return r
}

// forwards is r without a Range that a reader of content that is not kept cannot serve:
// several, which may lead backwards, and any while the size is unknown. The whole blob is
// an answer to them too.
func forwards(r *http.Request, reader *cache.Reader) *http.Request {
	ask := r.Header.Get("Range")
	if ask == "" || !reader.Unstored() || reader.Size() >= 0 && !strings.Contains(ask, ",") {
		return r
	}
	r = r.Clone(r.Context())
	r.Header.Del("Range")
	return r
}

// serveContent is http.ServeContent, which knows ranges, several ranges, 416 and
// conditions. It swallows the copy's error, which reader and response remember. Reads end
// with what cancel cancels.
func serveContent(w *response, r *http.Request, reader *cache.Reader, cancel context.CancelFunc) {
	w.whole = reader
	if !strings.Contains(r.Header.Get("Range"), ",") {
		http.ServeContent(w, r, "", time.Time{}, reader)
		return
	}
	parts := newLent(reader)
	http.ServeContent(w, r, "", time.Time{}, parts)
	cancel()
	parts.end()
}

// lent is a reader lent to ServeContent, which reads several ranges in a goroutine that it
// does not wait for.
type lent struct {
	reader io.ReadSeeker
	// turn holds one token, which a call takes and puts back; closed after the last.
	turn chan struct{}
}

var _ io.ReadSeeker = (*lent)(nil)

func newLent(r io.ReadSeeker) *lent {
	l := &lent{reader: r, turn: make(chan struct{}, 1)}
	l.turn <- struct{}{}
	return l
}

// end takes the reader back. It waits for a call that is running.
func (l *lent) end() {
	<-l.turn
	close(l.turn)
}

// Read implements io.Reader.
func (l *lent) Read(p []byte) (int, error) {
	if _, ok := <-l.turn; !ok {
		return 0, fs.ErrClosed
	}
	defer func() { l.turn <- struct{}{} }()
	return l.reader.Read(p)
}

// Seek implements io.Seeker.
func (l *lent) Seek(offset int64, whence int) (int64, error) {
	if _, ok := <-l.turn; !ok {
		return 0, fs.ErrClosed
	}
	defer func() { l.turn <- struct{}{} }()
	return l.reader.Seek(offset, whence)
}
