package origin

import (
	"context"
	"net/http"
	"strconv"
)

const (
	// stallFor is how long a stalled body stands still, in milliseconds.
	stallFor = 400
	// slowPiece is what a slow body sends between two pauses of slowFor milliseconds.
	slowPiece = 32 << 10
	slowFor   = 5
)

// spoiled is a writer of a body that something happens to.
type spoiled struct {
	http.ResponseWriter
	ctx   context.Context //nolint:containedctx // a handler's own writer, gone with the request
	lull  <-chan struct{}
	fault Fault
	// at is the offset of what happens: to bytes written, of which there were sent so many.
	at, sent int64
	// short is how much is sent of a body whose length is said too small, which looks whole.
	short int64
}

// spoil returns the writer for a body of size bytes. A HEAD's answer is left as it is:
// nobody could know better, and a registry that lies there is believed.
func (o *Origin) spoil(w http.ResponseWriter, q *http.Request, l luck, size int64) http.ResponseWriter {
	if q.Method != http.MethodGet {
		return w
	}
	fault := l.one(Cut, Stall, Corrupt, Short, Long, Slow)
	if fault == "" {
		return w
	}
	return &spoiled{ResponseWriter: w, ctx: q.Context(), lull: o.lull(), fault: fault, at: int64(l.where * float64(size))}
}

// WriteHeader lies about the length, if that is the fault.
func (s *spoiled) WriteHeader(status int) {
	header := s.Header()
	length, err := strconv.ParseInt(header.Get("Content-Length"), 10, 64)
	if err == nil && s.fault == Long {
		header.Set("Content-Length", strconv.FormatInt(length+7, 10))
	}
	if err == nil && s.fault == Short {
		s.short = length / 2
		header.Set("Content-Length", strconv.FormatInt(s.short, 10))
	}
	if header.Get("Content-Type") == "application/octet-stream" && (s.fault == Long || s.fault == Short) {
		// As a proxy in between would; who names the digest is believed about the length.
		header.Del("Docker-Content-Digest")
	}
	s.ResponseWriter.WriteHeader(status)
}

func (s *spoiled) Write(b []byte) (int, error) {
	if s.fault == Short {
		piece := b[:min(int64(len(b)), s.short-s.sent)]
		s.sent += int64(len(piece))
		_, err := s.ResponseWriter.Write(piece)
		return len(b), err
	}
	done := 0
	for done < len(b) {
		piece := b[done:]
		if s.fault == Slow {
			piece = piece[:min(len(piece), slowPiece)]
			s.flush()
			wait(s.ctx, s.lull, slowFor)
		}
		if s.sent < s.at && s.fault != Slow {
			piece = piece[:min(int64(len(piece)), s.at-s.sent)]
		}
		if s.sent == s.at {
			piece = s.happen(piece)
		}
		n, err := s.ResponseWriter.Write(piece)
		done += n
		s.sent += int64(n)
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// happen does what happens before piece is sent.
func (s *spoiled) happen(piece []byte) []byte {
	switch s.fault {
	case Cut:
		s.flush()
		panic(http.ErrAbortHandler)
	case Stall:
		s.flush()
		wait(s.ctx, s.lull, stallFor)
	case Corrupt:
		return append([]byte{piece[0] ^ 0x80}, piece[1:]...)
	}
	return piece
}

func (s *spoiled) flush() {
	if err := http.NewResponseController(s.ResponseWriter).Flush(); err != nil {
		panic(http.ErrAbortHandler)
	}
}
