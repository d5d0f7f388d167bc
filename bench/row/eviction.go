package row

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/berth-cache/berth/bench/contender"
	"github.com/berth-cache/berth/bench/image"
	"github.com/berth-cache/berth/bench/report"
	"github.com/berth-cache/berth/bench/upstream"
)

// errKept says that a cache holds more than it may.
var errKept = errors.New("evicts too little")

const (
	// slack is how much more than it may a cache holds before it counts as not evicting.
	slack = 1.1
	// settleEvery is how often is looked whether eviction has come to an end.
	settleEvery = 200 * time.Millisecond
)

// eviction compares what a new object costs in a cache that has to push an old one out for
// it with what it costs in one that has room: for caches of few objects and for caches of
// ten times as many.
type eviction struct{}

func (v eviction) measure(ctx context.Context, s *stage) error {
	few := max(s.bench.Scale.Objects/100, 50)
	pool := image.Pool{Repository: "bench/many", Count: 2 * 10 * few, Size: objectBytes}
	if err := s.upstream(ctx, upstream.Conditions{}); err != nil {
		return err
	}
	if err := s.control.AddPool(ctx, pool); err != nil {
		return err
	}
	// Filling is most of the work: what is measured are fresh servers, round by round.
	return s.each(ctx, func(round int, e *entrant) (report.Sample, error) {
		sample := report.Sample{}
		for key, objects := range map[string]int{"few": few, "many": 10 * few} {
			label := fmt.Sprintf("-%s-%d", key, round)
			full, err := v.cost(ctx, s, e, doubled{label + "-full", pool, objects, objects})
			if err != nil {
				return sample, err
			}
			roomy, err := v.cost(ctx, s, e, doubled{label + "-roomy", pool, objects, 4 * objects})
			if err != nil {
				return sample, err
			}
			sample.Set(key, full-roomy)
		}
		// Where there is little to evict, it may cost less than the clock can tell.
		if sample["few"] > 0 && sample["many"] > 0 {
			sample.Set("ratio", sample["many"]/sample["few"])
		}
		return sample, nil
	})
}

// doubled is a cache that gets objects, and then as many again.
type doubled struct {
	label   string
	pool    image.Pool
	objects int
	// limit is how many it may hold.
	limit int
}

// cost is the processor time that each of the second half takes, in seconds.
func (v eviction) cost(ctx context.Context, s *stage, e *entrant, c doubled) (float64, error) {
	folder, err := s.subfolder(e.name + c.label)
	if err != nil {
		return 0, err
	}
	server, err := s.bench.Programs.Start(ctx, e.name, contender.Setting{
		Folder: folder, Upstream: s.endpoint, CPUs: s.bench.Servers, Keys: 2 * c.objects, MaxObjects: c.limit, ObjectBytes: objectBytes,
	})
	if err != nil {
		return 0, err
	}
	defer server.Stop()
	e.servers = []*contender.Server{server}
	// Folders are made and connections opened with the first half.
	if _, err := s.sweep(ctx, e, c.pool, span{0, c.objects}); err != nil {
		return 0, err
	}
	start, err := server.Usage()
	if err != nil {
		return 0, err
	}
	if _, err := s.sweep(ctx, e, c.pool, span{c.objects, 2 * c.objects}); err != nil {
		return 0, err
	}
	if err := settled(ctx, server.Held, c.limit); err != nil {
		return 0, err
	}
	end, err := server.Usage()
	if err != nil {
		return 0, err
	}
	return (end.CPU - start.CPU).Seconds() / float64(c.objects), nil
}

// settled returns once a folder holds no more files than it may.
func settled(ctx context.Context, folder string, objects int) error {
	ctx, cancel := context.WithTimeout(ctx, startBound)
	defer cancel()
	look := time.NewTicker(settleEvery)
	defer look.Stop()
	for {
		n, err := files(folder)
		if err != nil {
			return err
		}
		if float64(n) <= slack*float64(objects) {
			return nil
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return fmt.Errorf("%w: %d objects of %d", errKept, n, objects)
		}
	}
}

// files counts those below a folder that is changing.
func files(folder string) (int, error) {
	n := 0
	err := filepath.WalkDir(folder, func(_ string, d fs.DirEntry, err error) error {
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err == nil && d.Type().IsRegular() {
			n++
		}
		return nil
	})
	return n, err
}
