package cache

import (
	"context"
	"io"
	"sync"
)

// progress is how far a fill has come, as its readers see it. They never see the last
// byte before the digest matched: while the size is unknown, any byte may be the last.
type progress struct {
	// mu guards everything below.
	mu sync.Mutex
	// size is the whole content's, -1 while unknown; arrived is what can be read so far.
	size, arrived int64
	// answered says that the source in use has told the size or delivered bytes.
	answered bool
	verified bool
	err      error
	// changed is made by who waits and closed by who has news.
	changed chan struct{}
}

func newProgress() *progress { return &progress{size: -1} }

// announce tells the size of the content in bytes; -1 is not known yet.
func (p *progress) announce(size int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if size >= 0 {
		// Of no bytes none can be withheld: who waits, waits until they are verified.
		p.size, p.answered = size, p.answered || size > 0
		p.wake()
	}
}

// advance tells that n more bytes can be read.
func (p *progress) advance(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.arrived += int64(n)
	p.answered = true
	p.wake()
}

// verify tells that the digest matched: all size bytes may be read.
func (p *progress) verify(size int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.size, p.arrived, p.verified = size, size, true
	p.wake()
}

// fail tells that no more will come, because of err. After verify it does nothing.
func (p *progress) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.verified {
		p.err = err
		p.wake()
	}
}

// forget makes who comes next wait for the next source to answer.
func (p *progress) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answered = false
}

// complete tells whether everything has come and matched.
func (p *progress) complete() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.verified
}

// total returns the size in bytes, -1 while unknown.
func (p *progress) total() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.size
}

// awaitAnswer waits until the source has answered, and returns its error if it failed.
func (p *progress) awaitAnswer(ctx context.Context) error {
	var failed error
	err := p.await(ctx, func() bool {
		failed = p.err
		return p.answered || p.verified || p.err != nil
	})
	if err != nil {
		return err
	}
	return failed
}

// awaitTotal waits until the size is known and returns it.
func (p *progress) awaitTotal(ctx context.Context) (int64, error) {
	var size int64
	var failed error
	err := p.await(ctx, func() bool {
		size, failed = p.size, p.err
		return size >= 0 || failed != nil
	})
	if err == nil && size < 0 {
		err = failed
	}
	return size, err
}

// awaitBytes waits until a reader at pos has something to read, and returns where that
// ends. io.EOF is the end of verified content; another error is the fill's, which comes
// after the bytes that came before it.
func (p *progress) awaitBytes(ctx context.Context, pos int64) (end int64, err error) {
	var ended error
	err = p.await(ctx, func() bool {
		end, ended = p.visible(), p.err
		if p.verified && pos >= end {
			ended = io.EOF
		}
		return pos < end || ended != nil
	})
	if err == nil && pos >= end {
		err = ended
	}
	return end, err
}

// await waits until ok, which is called with mu held, or until ctx ends.
func (p *progress) await(ctx context.Context, ok func() bool) error {
	for {
		p.mu.Lock()
		if ok() {
			p.mu.Unlock()
			return nil
		}
		if p.changed == nil {
			p.changed = make(chan struct{})
		}
		changed := p.changed
		p.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// visible is how many bytes readers may have. mu is held.
func (p *progress) visible() int64 {
	switch {
	case p.verified:
		return p.size
	case p.size < 0:
		return max(0, p.arrived-1)
	}
	return max(0, min(p.arrived, p.size-1))
}

// wake wakes who waits, which are the readers at the tip only: one that is busy sending
// finds more when it comes back, so the busier the readers the fewer are woken. Waking
// them less often than with every read from the source was measured to save nothing.
// mu is held.
func (p *progress) wake() {
	if p.changed != nil {
		close(p.changed)
		p.changed = nil
	}
}
