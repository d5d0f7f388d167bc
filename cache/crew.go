package cache

import (
	"context"
	"sync"
	"time"
)

const (
	// patience is how long a segment may go without a byte. The upstream's own timeout is
	// longer, as a connection that is alone has nothing to lose by waiting.
	patience = 5 * time.Second
	// maxStretch times the segment is the most that is asked for at once: what one
	// connection brings in a second, so that a fast one does not ask all the time.
	maxStretch = 8
)

// crew is what fetches segments of one attempt of a fill, beside its first connection: as
// many helpers as turn out to help, and those that fetch what a reader far ahead waits for.
// Whatever goes wrong with a segment ends the crew, never the fill.
type crew struct {
	fill   *fill
	src    Source
	cancel context.CancelFunc
	// running counts the goroutines; close waits for them.
	running sync.WaitGroup
	// lanes is nil until start.
	lanes *Lanes

	// The running goroutine's own: how fast it is, and the first claim of the helper that
	// was added last, until a byte came for it.
	pacer  *pacer
	newest *claim

	// mu guards what is below. It may be held while the plan's and the lanes' are taken.
	mu sync.Mutex
	// want is how many connections the fill runs best with, helpers how many it has beside
	// the first.
	want, helpers int
	// overtaken is how many segments the first connection has overtaken.
	overtaken int
	// used: a segment was asked for. stopped: none is any more.
	used, stopped bool
}

func newCrew(f *fill, src Source) *crew {
	return &crew{fill: f, src: src, want: 1, cancel: func() {}}
}

// start lets the crew use lanes, once the first connection delivers.
func (c *crew) start(ctx context.Context, lanes *Lanes) {
	switch {
	case c.lanes != nil:
		if lanes != c.lanes {
			c.stop() // the source went elsewhere
		}
		return
	case !lanes.serve(c.fill.total):
		return
	}
	ctx, c.cancel = context.WithCancel(ctx)
	c.lanes = lanes
	c.fill.plan.divide(lanes.segment)
	c.pacer = newPacer(lanes.connections, c.fill.progress.bytes())
	c.running.Go(func() { c.run(ctx) })
}

// close ends everything that the crew does and waits for it.
func (c *crew) close() {
	c.cancel()
	c.running.Wait()
	if c.used {
		c.fill.lanes = c.lanes
	}
}

func (c *crew) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped, c.want = true, 1
}

// wanted tells whether the first connection, too, is to fetch segments from now on.
func (c *crew) wanted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.want > 1
}

// blame returns the error of opening the source again. Where segments ended badly it is a
// break as theirs was: without them there would have been no need to ask.
func (c *crew) blame(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return &breakError{err}
	}
	return err
}

// run decides how many helpers there are.
func (c *crew) run(ctx context.Context) {
	ticker := time.NewTicker(sampleEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.fill.progress.wanted:
			c.hire(ctx, true)
		case <-ticker.C:
			c.fill.plan.hurry(patience)
			c.hire(ctx, true) // for whom there was no lane before
			c.look(ctx)
		}
	}
}

// look measures, and adds a helper if that promises to help.
func (c *crew) look(ctx context.Context) {
	now, came := time.Now(), c.fill.progress.bytes()
	if c.newest != nil {
		switch began, overtaken := c.fill.plan.fate(c.newest); {
		case began:
			c.newest = nil
			c.pacer.added(now, came)
			return
		case !overtaken:
			return // still connecting, or failed, after which there is nothing to do
		}
		c.newest = nil
	}
	left := c.fill.total - came
	add := c.pacer.sample(now, came, left)
	n := c.pacer.connections
	c.fill.plan.pace(c.stretch(n, left))
	if add {
		c.newest = c.hire(ctx, false)
	}
	if c.newest != nil {
		n++
	}
	c.settle(n)
}

// stretch is how much one of n connections claims at a time: what it brings in a second,
// and at the end less, so that all end together.
func (c *crew) stretch(n int, left int64) int64 {
	second := int64(c.pacer.rate) / int64(n)
	share := min(second, left/int64(4*n), maxStretch*c.lanes.segment)
	return max(share, c.lanes.segment)
}

// settle makes n the number of connections that is wanted.
func (c *crew) settle(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.stopped {
		c.want = n
	}
}

// hire adds a helper and returns its first claim; nil if there is nothing to do, or nobody
// to do it. With only, the helper is for what readers ahead wait for.
func (c *crew) hire(ctx context.Context, only bool) *claim {
	wanted := c.fill.progress.waiting()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped || c.helpers+1 >= c.lanes.connections || !c.lanes.acquire() {
		return nil
	}
	first := c.fill.plan.ahead(wanted, only)
	if first == nil {
		c.lanes.release()
		return nil
	}
	c.helpers++
	c.used = true
	c.fill.contents.metrics.connect(1)
	c.running.Go(func() { c.help(ctx, first) })
	return first
}

// help fetches one claim after another, until no helper is needed any more.
func (c *crew) help(ctx context.Context, next *claim) {
	for next != nil {
		err := c.segment(ctx, next)
		c.fill.plan.end(next)
		if err != nil {
			break
		}
		next = c.next()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.helpers--
	c.lanes.release()
	c.fill.contents.metrics.connect(-1)
}

// next is what a helper that has fetched its claim goes on with.
func (c *crew) next() *claim {
	wanted := c.fill.progress.waiting()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return nil
	}
	return c.fill.plan.ahead(wanted, c.helpers >= c.want)
}
