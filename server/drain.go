package server

import (
	"context"
	"errors"
	"net/http"
	"time"
)

const (
	// quietBound is how long no request may have run before nobody is taken to be in the
	// middle of a pull. Clients unpack layers beside pulling them, and ask for the next at once.
	quietBound = 2 * time.Second
	// drainTick is how often it is looked.
	drainTick = 50 * time.Millisecond
)

// ErrCut says that requests were still running when the time to stop was over.
var ErrCut = errors.New("requests were cut off")

// Drain stops the server so that pulls can finish. It goes on accepting requests until none
// that counts has run for two seconds, or for three quarters of within at most; then it
// closes the listener, and gives the requests that still run the rest. It returns ErrCut if
// that was not enough for them. ctx ends the wait.
func (s *Server) Drain(ctx context.Context, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	s.note()
	s.draining.Store(true)
	s.calm(ctx, within)
	for _, c := range s.connections.resting() {
		c.Close() // Shutdown would give those without a request another five seconds
	}
	switch err := s.http.Shutdown(ctx); {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return errors.Join(ErrCut, s.http.Close())
	default:
		return err
	}
}

// calm waits until no pull is under way.
func (s *Server) calm(ctx context.Context, within time.Duration) {
	quiet := min(quietBound, within/4)
	enough := time.NewTimer(within / 4 * 3)
	defer enough.Stop()
	tick := time.NewTicker(drainTick)
	defer tick.Stop()
	for {
		if s.connections.count()[http.StateActive] > 0 {
			s.note()
		}
		if time.Since(time.Unix(0, s.last.Load())) >= quiet {
			return
		}
		select {
		case <-tick.C:
		case <-enough.C:
			return
		case <-ctx.Done():
			return
		}
	}
}
