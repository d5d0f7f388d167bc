package upstreamtest

import (
	"net/http"
	"strings"
	"time"
)

// Fault says how an answer is to be spoiled. Fields combine; the zero value spoils nothing.
type Fault struct {
	// Times is how many matching requests it meets; 0 is all of them.
	Times int
	// Status, if set, is answered with Body instead of what would have been.
	Status int
	Body   []byte
	// Header is set on the answer over its own; an empty list of values removes one.
	Header http.Header
	// Redirect, if set, is answered with 307 to this URL.
	Redirect string
	// MediaType replaces the Content-Type.
	MediaType string
	// Digest replaces the Docker-Content-Digest; "-" removes it.
	Digest string
	// Length replaces the Content-Length; the connection breaks where the body is shorter.
	Length int64
	// Corrupt flips bits in the first byte of the body.
	Corrupt bool
	// CutAfter breaks the connection after so many bytes of the body; a negative number
	// breaks it before the header.
	CutAfter int64
	// Release, if set, stalls the answer after StallAfter bytes of the body until it is
	// closed or the client goes. A negative StallAfter stalls it before the header.
	Release    <-chan struct{}
	StallAfter int64
	// Delay is how long the header lets wait for itself.
	Delay time.Duration
}

// fault is a Fault in force. The Registry's mutex guards left.
type fault struct {
	Fault
	match func(*http.Request) bool
	left  int
}

// Fail spoils the answers to requests that match, all if match is nil; of several faults
// that match the one set first is used. A fault may come before the login is looked at,
// so it can also meet the token service.
func (r *Registry) Fail(match func(*http.Request) bool, f Fault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = append(r.faults, &fault{Fault: f, match: match, left: f.Times})
}

// Mend ends all faults.
func (r *Registry) Mend() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = nil
}

// On matches requests whose line in the record starts with prefix, e.g. "GET blob" or
// "HEAD manifest library/alpine:3".
func On(prefix string) func(*http.Request) bool {
	return func(q *http.Request) bool { return strings.HasPrefix(parse(q).line(q), prefix) }
}

func (r *Registry) faultFor(q *http.Request) (Fault, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.faults {
		if f.Times > 0 && f.left == 0 || f.match != nil && !f.match(q) {
			continue
		}
		f.left--
		return f.Fault, true
	}
	return Fault{}, false
}

// apply answers the request itself and returns false, or returns the writer that spoils
// the answer.
func (f Fault) apply(w http.ResponseWriter, q *http.Request) (http.ResponseWriter, bool) {
	if f.CutAfter < 0 {
		panic(http.ErrAbortHandler)
	}
	spoiled := &faultWriter{ResponseWriter: w, fault: f, request: q}
	if f.StallAfter < 0 {
		spoiled.stall()
	}
	f.wait(q)
	switch {
	case f.Redirect != "":
		w.Header().Set("Location", f.Redirect)
		spoiled.WriteHeader(http.StatusTemporaryRedirect)
		return nil, false
	case f.Status != 0:
		spoiled.WriteHeader(f.Status)
		if len(f.Body) > 0 && q.Method != http.MethodHead {
			write(spoiled, f.Body)
		}
		return nil, false
	}
	return spoiled, true
}

// wait waits for the delay, or until the client goes.
func (f Fault) wait(q *http.Request) {
	timer := time.NewTimer(f.Delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-q.Context().Done():
		panic(http.ErrAbortHandler)
	}
}

// faultWriter spoils what a handler writes.
type faultWriter struct {
	http.ResponseWriter
	fault   Fault
	request *http.Request
	written int64
	headed  bool
	stalled bool
}

// Unwrap lets http.ResponseController reach the connection.
func (w *faultWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *faultWriter) WriteHeader(status int) {
	if w.headed {
		return
	}
	w.headed = true
	h := w.Header()
	if w.fault.MediaType != "" {
		h.Set("Content-Type", w.fault.MediaType)
	}
	switch w.fault.Digest {
	case "":
	case "-":
		h.Del("Docker-Content-Digest")
	default:
		h.Set("Docker-Content-Digest", w.fault.Digest)
	}
	if w.fault.Length != 0 {
		h.Set("Content-Length", itoa(w.fault.Length))
	}
	for key, values := range w.fault.Header {
		h.Del(key)
		for _, v := range values {
			h.Add(key, v)
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *faultWriter) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	total := len(b)
	if w.fault.Corrupt && w.written == 0 && len(b) > 0 {
		b = append([]byte{b[0] ^ 0xff}, b[1:]...)
	}
	for len(b) > 0 {
		n, err := w.ResponseWriter.Write(b[:w.upTo(int64(len(b)))])
		w.written += int64(n)
		b = b[n:]
		if err != nil {
			return total - len(b), err
		}
		w.spoil()
	}
	return total, nil
}

// upTo is how many of n bytes may go out before the next thing happens.
func (w *faultWriter) upTo(n int64) int64 {
	if w.fault.CutAfter > 0 {
		n = min(n, w.fault.CutAfter-w.written)
	}
	if w.fault.Release != nil && !w.stalled {
		if w.written == w.fault.StallAfter {
			w.flush()
			w.stall()
			return n
		}
		n = min(n, w.fault.StallAfter-w.written)
	}
	return n
}

func (w *faultWriter) spoil() {
	if w.fault.CutAfter > 0 && w.written >= w.fault.CutAfter {
		w.flush()
		panic(http.ErrAbortHandler)
	}
	if w.fault.Release != nil && !w.stalled && w.written >= w.fault.StallAfter {
		w.flush()
		w.stall()
	}
}

func (w *faultWriter) flush() {
	if err := http.NewResponseController(w.ResponseWriter).Flush(); err != nil {
		panic(http.ErrAbortHandler)
	}
}

func (w *faultWriter) stall() {
	w.stalled = true
	if w.fault.Release == nil {
		return
	}
	select {
	case <-w.fault.Release:
	case <-w.request.Context().Done():
		panic(http.ErrAbortHandler)
	}
}
