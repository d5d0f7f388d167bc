package row

import (
	"context"
	"errors"
	"fmt"

	"github.com/berth-cache/berth/bench/contender"
	"github.com/berth-cache/berth/bench/floor"
	"github.com/berth-cache/berth/bench/image"
	"github.com/berth-cache/berth/bench/load"
	"github.com/berth-cache/berth/bench/report"
	"github.com/berth-cache/berth/bench/upstream"
)

// errWarm says that a contender could not be given what it is to serve.
var errWarm = errors.New("not warm")

// warm asks for what is held, again and again.
type warm struct {
	method string
	// layers of the image; without any, the manifest is asked for.
	layers []int64
	large  bool
}

func (w warm) measure(ctx context.Context, s *stage) error {
	spec := image.Spec{Repository: "bench/warm", Layers: w.layers}
	if len(spec.Layers) == 0 {
		spec.Layers = []int64{1000, 1001, 1002, 1003}
	}
	m, err := image.Make(spec)
	if err != nil {
		return err
	}
	if err := s.upstream(ctx, upstream.Conditions{}); err != nil {
		return err
	}
	if err := s.control.AddImage(ctx, spec); err != nil {
		return err
	}
	stock := floor.Stock{Images: []image.Spec{spec}}
	if err := s.start(ctx, "", contender.Setting{Stock: stock}); err != nil {
		return err
	}
	for _, e := range s.entrants {
		if e.out {
			continue
		}
		if err := s.heat(ctx, e, spec); err != nil {
			e.leave(err.Error())
		}
	}
	plan := load.Plan{Repeat: w.repeat(m, s.bench.Scale)}
	return s.each(ctx, func(_ int, e *entrant) (report.Sample, error) {
		before, err := e.server().Usage()
		if err != nil {
			return nil, err
		}
		r, err := s.load(ctx, e.server(), plan)
		if err != nil {
			return nil, err
		}
		after, err := e.server().Usage()
		if err != nil {
			return nil, err
		}
		e.failures(r)
		sample := report.Sample{}
		cpu := (after.CPU - before.CPU).Seconds()
		sample.Set("per_cpu", float64(r.Requests)/cpu)
		sample.Set("bytes_per_cpu", float64(r.Bytes)/cpu)
		sample.Set("rate", float64(r.Requests)/r.Wall.Seconds())
		sample.Set("bytes_rate", float64(r.Bytes)/r.Wall.Seconds())
		sample.Set("p99", r.Latency.P99.Seconds())
		return sample, nil
	})
}

// heat makes a contender hold the image, and answer HEAD for its tag.
func (s *stage) heat(ctx context.Context, e *entrant, spec image.Spec) error {
	for range 2 {
		r, err := s.load(ctx, e.server(), load.Plan{Pull: &load.Pull{Image: spec, Clients: 1, Parallel: 3}})
		if err != nil {
			return err
		}
		if r.Failed > 0 {
			return fmt.Errorf("%w: %v", errWarm, r.Faults)
		}
	}
	return nil
}

func (w warm) repeat(m image.Image, s Scale) *load.Repeat {
	r := &load.Repeat{Method: w.method, Connections: s.Connections, Duration: s.Warm, Requests: s.MaxRequests}
	if w.large {
		r.Connections = s.Streams
	}
	if len(w.layers) == 0 {
		r.Targets = []load.Target{load.ManifestTarget(m)}
		return r
	}
	for _, p := range m.Layers {
		r.Targets = append(r.Targets, load.BlobTarget(m.Repository, p))
	}
	return r
}
