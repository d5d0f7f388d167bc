package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/berth-cache/berth/config"
)

// overview prints what a configuration means.
func overview(cfg *config.Config, out io.Writer) error {
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
	return t.Flush()
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
