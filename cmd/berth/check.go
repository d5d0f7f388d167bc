package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"slices"

	"github.com/berth-cache/berth/config"
)

// checkFlags are those of berth check.
type checkFlags struct {
	repair, offline bool
	images          []string
}

func (c *checkFlags) add(f *flag.FlagSet) {
	f.BoolVar(&c.repair, "repair", false, "")
	f.BoolVar(&c.offline, "offline", false, "")
	f.Func("image", "", func(name string) error {
		c.images = append(c.images, name)
		return nil
	})
}

// check prints what a configuration, valid by now, means, how its data folder is, and what
// its upstreams answer.
func check(ctx context.Context, cfg *config.Config, flags checkFlags, out io.Writer) error {
	fleet := &fleet{instance: knownInstance(cfg.Data)}
	clients, err := fleet.plan(unlimited(cfg.Upstreams))
	if err != nil {
		return err
	}
	fleet.enlist(clients)
	defer fleet.close()
	snapshot, err := newSnapshot(cfg, clients)
	if err != nil {
		return err
	}
	if url := cfg.State.Redis.Reveal(); url != "" {
		r, err := newRedis(url, slog.New(slog.DiscardHandler))
		if err != nil {
			return err
		}
		if err := r.Close(); err != nil {
			return err
		}
	}
	if err := overview(cfg, out); err != nil {
		return err
	}
	said, err := dataCondition(ctx, cfg)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\n%s\n", said)
	if flags.offline {
		return nil
	}
	fmt.Fprintln(out)
	return probe{cfg.Upstreams, clients, snapshot, flags.images}.run(ctx, out)
}

// unlimited is upstreams without rate and concurrency: to ask each a few questions takes no
// queue, in which they would be late.
func unlimited(upstreams []config.Upstream) []config.Upstream {
	all := slices.Clone(upstreams)
	for i := range all {
		all[i].Rate, all[i].Concurrency = config.Rate{}, 0
	}
	return all
}
