package main

import (
	"errors"
	"io"
	"sync"
	"time"
)

const (
	// gatherFor is how long a line of the access log may wait for others.
	gatherFor = 250 * time.Millisecond
	// gatherBytes are written at once, however soon they came.
	gatherBytes = 32 << 10
)

// gatherer writes lines in bunches: one write a line would be a tenth of what a warm
// request costs. A process that is killed loses the last quarter of a second.
type gatherer struct {
	out io.Writer

	mu    sync.Mutex // guards everything below, and is held while out is written to
	lines []byte
	timer *time.Timer // set while lines wait
	err   error
}

func newGatherer(out io.Writer) *gatherer { return &gatherer{out: out} }

// Write implements io.Writer. The error is that of an earlier write.
func (g *gatherer) Write(line []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.err; err != nil {
		g.err = nil
		return 0, err
	}
	g.lines = append(g.lines, line...)
	switch {
	case len(g.lines) >= gatherBytes:
		g.flush()
	case g.timer == nil:
		g.timer = time.AfterFunc(gatherFor, func() {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.flush()
		})
	}
	return len(line), nil
}

// now is the way in for lines that are not to wait: those before them are written, too.
func (g *gatherer) now() io.Writer { return prompt{g} }

type prompt struct{ *gatherer }

func (p prompt) Write(line []byte) (int, error) {
	n, err := p.gatherer.Write(line)
	if err == nil {
		err = p.Close()
	}
	return n, err
}

// flush writes what waits. mu is held.
func (g *gatherer) flush() {
	if g.timer != nil {
		g.timer.Stop()
		g.timer = nil
	}
	if len(g.lines) == 0 {
		return
	}
	_, err := g.out.Write(g.lines)
	g.lines = g.lines[:0]
	g.err = errors.Join(g.err, err)
}

// Close writes what waits.
func (g *gatherer) Close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.flush()
	err := g.err
	g.err = nil
	return err
}
