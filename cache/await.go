package cache

import (
	"context"
	"io"
)

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
	err = p.awaitAt(ctx, pos, func() bool {
		end, ended = p.visible(pos), p.err
		if p.verified && pos >= p.size {
			ended = io.EOF
		}
		return pos < end || ended != nil
	})
	if err == nil && pos >= end {
		err = ended
	}
	return end, err
}

// awaitArrived waits until bytes at pos have come, visible or not, and returns where they
// end; that is pos where the content ends.
func (p *progress) awaitArrived(ctx context.Context, pos int64) (end int64, err error) {
	err = p.awaitAt(ctx, pos, func() bool {
		end = p.arrived.end(pos)
		return end > pos || pos == p.end
	})
	return end, err
}

// awaitAt waits until ok, which is called with mu held, or until ctx ends. It looks again
// when bytes at pos came, and when there is other news.
func (p *progress) awaitAt(ctx context.Context, pos int64, ok func() bool) error {
	for {
		p.mu.Lock()
		if ok() {
			p.mu.Unlock()
			return nil
		}
		t := p.tips[pos]
		if t == nil {
			t = &tip{came: make(chan struct{})}
			p.tips[pos] = t
		}
		t.readers++
		ahead := pos > p.arrived.end(0)
		p.mu.Unlock()
		if ahead {
			select {
			case p.wanted <- struct{}{}:
			default:
			}
		}
		select {
		case <-t.came:
		case <-ctx.Done():
			p.leaveTip(pos, t)
			return context.Cause(ctx)
		}
	}
}

// leaveTip takes a reader away that no longer waits.
func (p *progress) leaveTip(pos int64, t *tip) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t.readers--
	if t.readers == 0 && p.tips[pos] == t {
		delete(p.tips, pos)
	}
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
