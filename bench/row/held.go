package row

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/berth-cache/berth/bench/contender"
	"github.com/berth-cache/berth/bench/image"
	"github.com/berth-cache/berth/bench/load"
	"github.com/berth-cache/berth/bench/report"
	"github.com/berth-cache/berth/bench/upstream"
)

var nan = math.NaN()

const (
	// objectBytes is the size of each of many objects.
	objectBytes = 64
	// hotConnections ask for those in use: few, so that what is measured is not the queue.
	hotConnections = 8
)

// held compares a contender that holds very many objects with one that holds only those in
// use. Each entrant has two servers: the full one is the first.
type held struct{}

func (h held) measure(ctx context.Context, s *stage) error {
	pool := image.Pool{Repository: "bench/many", Count: s.bench.Scale.Objects, Size: objectBytes}
	if err := s.upstream(ctx, upstream.Conditions{}); err != nil {
		return err
	}
	if err := s.control.AddPool(ctx, pool); err != nil {
		return err
	}
	setting := contender.Setting{Keys: pool.Count}
	if err := s.start(ctx, "-full", setting); err != nil {
		return err
	}
	if err := s.start(ctx, "-empty", setting); err != nil {
		return err
	}
	hot := h.hot(pool, s.bench.Scale)
	fills := map[string]float64{}
	for _, e := range s.entrants {
		if e.out {
			continue
		}
		cost, err := s.sweep(ctx, e, pool, span{0, pool.Count})
		if err == nil {
			fills[e.name] = cost
			err = h.heat(ctx, s, e, hot)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			e.leave(err.Error())
		}
	}
	return s.each(ctx, func(_ int, e *entrant) (report.Sample, error) {
		sample, err := h.round(ctx, s, e, hot)
		if err == nil {
			sample.Set("fill", fills[e.name])
		}
		return sample, err
	})
}

// hot are the objects in use, spread over all.
func (h held) hot(pool image.Pool, s Scale) *load.Repeat {
	r := &load.Repeat{Method: "GET", Connections: hotConnections, Duration: s.Warm, Requests: s.MaxRequests}
	for d, b := range pool.Every(s.Hot) {
		r.Targets = append(r.Targets, load.BlobTarget(pool.Repository, image.Part{Digest: d, Blob: b}))
	}
	return r
}

// heat makes both servers hold the objects in use: one connection asks for each once.
func (h held) heat(ctx context.Context, s *stage, e *entrant, hot *load.Repeat) error {
	once := *hot
	once.Connections, once.Requests, once.Duration = 1, int64(len(hot.Targets)), s.bench.Scale.Bound
	for _, server := range e.servers {
		r, err := s.load(ctx, server, load.Plan{Repeat: &once})
		if err != nil {
			return err
		}
		if r.Requests < once.Requests {
			return fmt.Errorf("%w: %d of %d: %v", errWarm, r.Requests, once.Requests, r.Faults)
		}
	}
	return nil
}

// round restarts the full server and asks both for the objects in use.
func (h held) round(ctx context.Context, s *stage, e *entrant, hot *load.Repeat) (report.Sample, error) {
	full, empty := e.servers[0], e.servers[1]
	starting, cancel := context.WithTimeout(ctx, startBound)
	defer cancel()
	took, err := full.Restart(starting, hot.Targets[len(hot.Targets)/2].Path)
	if err != nil {
		return nil, err
	}
	// Both have answered each of them since they were started.
	if err := h.heat(ctx, s, e, hot); err != nil {
		return nil, err
	}
	var p99 [2]time.Duration
	for i, server := range []*contender.Server{full, empty} {
		r, err := s.load(ctx, server, load.Plan{Repeat: hot})
		if err != nil {
			return nil, err
		}
		e.failures(r)
		p99[i] = r.Latency.P99
	}
	usage, err := full.Usage()
	if err != nil {
		return nil, err
	}
	sample := report.Sample{}
	sample.Set("start", took.Seconds())
	sample.Set("anon", float64(usage.AnonRSS))
	sample.Set("p99", p99[0].Seconds())
	sample.Set("p99_empty", p99[1].Seconds())
	sample.Set("p99_ratio", p99[0].Seconds()/p99[1].Seconds())
	return sample, nil
}

// span is a part of a pool: from to to-1.
type span struct{ from, to int }

// sweep makes an entrant's first server fetch a part of the pool, each object once, and
// returns the processor time that one object took, in seconds.
func (s *stage) sweep(ctx context.Context, e *entrant, pool image.Pool, part span) (float64, error) {
	s.logger.Info("fill", "contender", e.name, "objects", part.to-part.from)
	before, err := e.server().Usage()
	if err != nil {
		return 0, err
	}
	r, err := s.load(ctx, e.server(), load.Plan{
		Bound: s.bench.Scale.FillBound,
		Sweep: &load.Sweep{Pool: pool, From: part.from, To: part.to, Connections: s.bench.Scale.FillConnections},
	})
	if err != nil {
		return 0, err
	}
	after, err := e.server().Usage()
	if err != nil {
		return 0, err
	}
	if want := int64(part.to - part.from); r.Requests < want {
		e.note(fmt.Sprintf("holds %d of %d objects: %v", r.Requests, want, r.Faults))
	}
	return (after.CPU - before.CPU).Seconds() / float64(max(r.Requests, 1)), nil
}
