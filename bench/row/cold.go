package row

import (
	"context"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/berth-cache/berth/bench/contender"
	"github.com/berth-cache/berth/bench/image"
	"github.com/berth-cache/berth/bench/load"
	"github.com/berth-cache/berth/bench/report"
	"github.com/berth-cache/berth/bench/upstream"
)

// cold pulls images that nobody has pulled before, a new one for each measurement.
type cold struct {
	conditions upstream.Conditions
	layers     []int64
	clients    int
}

func (c cold) measure(ctx context.Context, s *stage) error {
	if err := s.upstream(ctx, c.conditions); err != nil {
		return err
	}
	if err := s.start(ctx, "", contender.Setting{}); err != nil {
		return err
	}
	// The first request of a server's life costs connections, tokens and pages that no
	// later one pays for: it is not what these rows are about.
	first := image.Spec{Repository: "bench/first", Layers: []int64{1000}}
	if err := s.control.AddImage(ctx, first); err != nil {
		return err
	}
	for _, e := range s.entrants {
		if e.out {
			continue
		}
		if err := s.heat(ctx, e, first); err != nil {
			e.leave(err.Error())
		}
	}
	return s.each(ctx, func(round int, e *entrant) (report.Sample, error) {
		spec := image.Spec{Repository: fmt.Sprintf("bench/cold-%s-%d", e.name, round), Layers: c.layers}
		return c.pull(ctx, s, e, spec)
	})
}

// pull measures one pull of a new image by all clients.
func (c cold) pull(ctx context.Context, s *stage, e *entrant, spec image.Spec) (report.Sample, error) {
	m, err := image.Make(spec)
	if err != nil {
		return nil, err
	}
	if err := s.control.AddImage(ctx, spec); err != nil {
		return nil, err
	}
	// What the one before has left to be written must not be waited for by this one.
	if err := settle(s.folder); err != nil {
		return nil, err
	}
	if err := e.server().ResetPeak(); err != nil {
		return nil, err
	}
	before, err := s.control.Counters(ctx)
	if err != nil {
		return nil, err
	}
	r, err := s.load(ctx, e.server(), load.Plan{Pull: &load.Pull{Image: spec, Clients: c.clients, Parallel: 3}})
	if err != nil {
		return nil, err
	}
	after, err := s.control.Counters(ctx)
	if err != nil {
		return nil, err
	}
	usage, err := e.server().Usage()
	if err != nil {
		return nil, err
	}
	sample := report.Sample{}
	sample.Set("failed", float64(r.Failed))
	sample.Set("upstream", float64(after.Sub(before).Bytes)/float64(m.Size()))
	sample.Set("peak", peak(usage.PeakRSS))
	e.failures(r)
	if r.Failed == 0 {
		sample.Set("last", r.Latency.Max.Seconds())
		sample.Set("first_byte", r.FirstByte.Median.Seconds())
	}
	if r.Wall >= s.bench.Scale.Bound {
		return sample, fmt.Errorf("not finished within %s", s.bench.Scale.Bound)
	}
	return sample, nil
}

// peak leaves out those that have no process.
func peak(bytes int64) float64 {
	if bytes == 0 {
		return nan
	}
	return float64(bytes)
}

// settle waits until what was written below folder is on the disk.
func settle(folder string) error {
	f, err := os.Open(folder)
	if err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	return nil
}
