package main

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

const (
	// gatherFor is how long a line of the access log may wait for others.
	gatherFor = 250 * time.Millisecond
	// gatherBytes are written at once, however soon they came.
	gatherBytes = 32 << 10
	// gatherMost bounds what waits where nobody takes the log: a pipe whose reader hangs,
	// a disk that is stuck. Lines beyond it are lost, and counted; no request waits.
	gatherMost = 1 << 20
	// closeBound is how long the last lines may take.
	closeBound = 2 * time.Second
)

// errNotTaken says that the log's last lines are lost.
var errNotTaken = errors.New("the log's last lines were not taken within " + closeBound.String())

// gatherer writes lines in bunches, behind the requests: one write a line would be a tenth
// of what a warm one costs. A process that is killed loses the last quarter of a second.
type gatherer struct {
	out io.Writer
	// some and much have room for one signal each: lines wait; they need not wait longer.
	some, much, stop, ended chan struct{}
	end                     func()

	mu    sync.Mutex // guards everything below, never while out is written to
	lines []byte
	lost  int
	err   error // of the last write
}

// newGatherer writes to out until Close.
func newGatherer(out io.Writer) *gatherer {
	g := &gatherer{
		out: out, some: make(chan struct{}, 1), much: make(chan struct{}, 1), stop: make(chan struct{}), ended: make(chan struct{}),
	}
	g.end = sync.OnceFunc(func() { close(g.stop) })
	go g.run()
	return g
}

// describe exports how many lines were lost.
func (g *gatherer) describe(r prometheus.Registerer) {
	promauto.With(r).NewCounterFunc(prometheus.CounterOpts{
		Name: "berth_log_lost_lines_total",
		Help: "Lines of the log that could not be written, or not soon enough to keep them.",
	}, func() float64 {
		g.mu.Lock()
		defer g.mu.Unlock()
		return float64(g.lost)
	})
}

// Write implements io.Writer. It never fails.
func (g *gatherer) Write(line []byte) (int, error) { return g.add(line, gatherBytes) }

// now is the way in for lines that are not to wait: those before them are written, too.
func (g *gatherer) now() io.Writer { return prompt{g} }

type prompt struct{ *gatherer }

func (p prompt) Write(line []byte) (int, error) { return p.add(line, 0) }

// add has line written, soon if more than enough bytes wait.
func (g *gatherer) add(line []byte, enough int) (int, error) {
	g.mu.Lock()
	first := len(g.lines) == 0
	if len(g.lines)+len(line) > gatherMost {
		g.lost++
	} else {
		g.lines = append(g.lines, line...)
	}
	much := len(g.lines) > enough
	g.mu.Unlock()
	if first {
		tell(g.some)
	}
	if much {
		tell(g.much)
	}
	return len(line), nil
}

func tell(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (g *gatherer) run() {
	defer close(g.ended)
	pause := time.NewTimer(gatherFor)
	var spare []byte
	for {
		pause.Stop()
		select {
		case <-g.some:
		case <-g.stop:
			g.flush(spare)
			return
		}
		pause.Reset(gatherFor)
		select {
		case <-pause.C:
		case <-g.much:
		case <-g.stop:
		}
		spare = g.flush(spare)
	}
}

// flush writes what waits, has spare filled meanwhile, and returns what the next may.
func (g *gatherer) flush(spare []byte) []byte {
	g.mu.Lock()
	lines := g.lines
	g.lines = spare[:0]
	g.mu.Unlock()
	if len(lines) == 0 {
		return lines
	}
	_, err := g.out.Write(lines)
	g.mu.Lock()
	if g.err = err; err != nil {
		g.lost += bytes.Count(lines, []byte{'\n'})
	}
	g.mu.Unlock()
	if cap(lines) > 4*gatherBytes {
		return nil
	}
	return lines
}

// Close writes what waits, and returns the error of the last write.
func (g *gatherer) Close() error {
	g.end()
	select {
	case <-g.ended:
	case <-time.After(closeBound):
		return errNotTaken
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}
