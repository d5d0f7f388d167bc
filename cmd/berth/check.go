package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

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
	fleet := new(fleet)
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
	fmt.Fprintf(out, "The configuration is valid.\n\nlisten %s   ops %s   data %s   state %s\n\n",
		cfg.Listen, orNone(cfg.Ops), cfg.Data, stateName(cfg))
	t := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "UPSTREAM\tURL\tLOGIN\tTAGS VALID\tCONNECTIONS\tLIMITS\tOWNS\tKNOWN AS")
	for _, u := range cfg.Upstreams {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\n", u.Name, u.URL, logins(u), orForever(u.Validity), u.Connections,
			limitsOf(u), orNone(strings.Join(u.Owns, " ")), strings.Join(u.Hosts, " "))
	}
	fmt.Fprintln(t, "\nREGISTRY\tPULL AS\tUPSTREAMS IN ORDER\tTAGS FROM\tHOSTS")
	for _, r := range cfg.Registries {
		path := cfg.Listen + "/"
		if r.Path != "" {
			path += r.Path + "/"
		}
		from := "any"
		if r.PinOrigin {
			from = "the origin"
		}
		fmt.Fprintf(t, "%s\t%s<repository>\t%s\t%s\t%s\n", r.Name, path, strings.Join(r.Upstreams, " "), from, orNone(strings.Join(r.Hosts, " ")))
	}
	if err := t.Flush(); err != nil {
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

// limitsOf are the rate and concurrency of an upstream, as they are configured.
func limitsOf(u config.Upstream) string {
	var all []string
	if u.Rate.Requests > 0 {
		all = append(all, u.Rate.String())
	}
	if u.Concurrency > 0 {
		all = append(all, fmt.Sprintf("%d at once", u.Concurrency))
	}
	return orNone(strings.Join(all, ", "))
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// logins are whose an upstream's credentials are.
func logins(u config.Upstream) string {
	if len(u.Credentials) == 0 {
		return "anonymous"
	}
	var all []string
	for _, c := range u.Credentials {
		all = append(all, c.String())
	}
	return strings.Join(all, "; ")
}

func orForever(d time.Duration) string {
	switch d {
	case config.Forever:
		return "forever"
	case 0:
		return "ask every time"
	}
	s := d.String()
	for _, none := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(s, none) {
			s = s[:len(s)-2]
		}
	}
	return s
}

func stateName(cfg *config.Config) string {
	if cfg.State.Redis.Reveal() != "" {
		return "redis"
	}
	return "embedded"
}
