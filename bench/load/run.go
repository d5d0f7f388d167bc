package load

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/berth-cache/berth/bench/image"
)

// Run carries a plan out. Requests that fail are counted in the Result; the error is of
// plans that cannot be begun.
func Run(ctx context.Context, p Plan) (Result, error) {
	if err := p.validate(); err != nil {
		return Result{}, err
	}
	d, err := newDialer(p)
	if err != nil {
		return Result{}, err
	}
	job, err := p.prepare()
	if err != nil {
		return Result{}, err
	}
	if p.Login {
		if err := d.login(ctx, p); err != nil {
			return Result{}, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, p.Bound)
	defer cancel()
	return job(ctx, d), nil
}

// prepare makes and hashes all content that the plan is about.
func (p Plan) prepare() (func(context.Context, *dialer) Result, error) {
	switch {
	case p.Repeat != nil:
		for _, t := range p.Repeat.Targets {
			if err := t.check(); err != nil {
				return nil, err
			}
		}
		return p.Repeat.run, nil
	case p.Sweep != nil:
		return p.Sweep.run, nil
	default:
		m, err := image.Make(p.Pull.Image)
		if err != nil {
			return nil, err
		}
		return func(ctx context.Context, d *dialer) Result { return p.Pull.run(ctx, d, m) }, nil
	}
}

// together runs count workers, numbered from 0, until the last has ended.
func together(count int, worker func(i int, n *tally)) Result {
	tallies := make([]tally, count)
	var running sync.WaitGroup
	start := time.Now()
	for i := range count {
		running.Go(func() { worker(i, &tallies[i]) })
	}
	running.Wait()
	return sum(tallies, time.Since(start))
}

func (r *Repeat) run(ctx context.Context, d *dialer) Result {
	var all []wanted
	for _, t := range r.Targets {
		all = append(all, wanted{d.request(r.Method, t.Path), t, r.Method == "HEAD"})
	}
	var begun atomic.Int64
	end := time.Now().Add(r.Duration)
	return together(r.Connections, func(i int, n *tally) {
		c := &client{dialer: d}
		defer c.close()
		for next := i; begun.Add(1) <= r.Requests && time.Now().Before(end) && ctx.Err() == nil; next++ {
			c.timed(ctx, n, all[next%len(all)])
		}
	})
}

func (s *Sweep) run(ctx context.Context, d *dialer) Result {
	var next atomic.Int64
	next.Store(int64(s.From))
	result := together(s.Connections, func(_ int, n *tally) {
		c := &client{dialer: d}
		defer c.close()
		for ctx.Err() == nil {
			i := next.Add(1) - 1
			if i >= int64(s.To) {
				return
			}
			b := s.Pool.Blob(int(i))
			t := BlobTarget(s.Pool.Repository, image.Part{Digest: b.Digest(), Blob: b})
			c.timed(ctx, n, wanted{request: d.request("GET", t.Path), target: t})
		}
	})
	if ctx.Err() != nil {
		result.Faults = append(result.Faults, fmt.Sprintf("ended at %d of %d", next.Load()-int64(s.From), s.To-s.From))
	}
	return result
}
