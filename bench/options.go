package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strings"

	"github.com/berth-cache/berth/bench/contender"
	"github.com/berth-cache/berth/bench/process"
	"github.com/berth-cache/berth/bench/row"
	"github.com/berth-cache/berth/bench/upstream"
)

// errUsage says that the command line cannot be meant.
var errUsage = errors.New("wrong usage")

// options are the command line, understood.
type options struct {
	rows, contenders *regexp.Regexp
	scale            row.Scale
	servers, clients process.CPUs
	conditions       upstream.Conditions
	json, folder     string
	mini             bool
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	rows := flags.String("rows", "", "measure the rows whose name matches this `regexp`")
	contenders := flags.String("contenders", "", "measure the contenders whose name matches this `regexp`")
	rounds := flags.Int("rounds", 0, "measure everything this `many` times (5)")
	duration := flags.Duration("duration", 0, "how long one warm measurement takes (3s)")
	objects := flags.Int("objects", 0, "how `many` objects are held (1000000)")
	cpus := flags.String("server-cpus", "", "run the servers on these processors, such as 0-1, and all else on the others (0-1 where there are four)")
	flags.BoolVar(&o.mini, "mini", false, "do everything in miniature: the numbers mean nothing")
	flags.BoolVar(&o.conditions.TLS, "tls", false, "the upstream speaks HTTP/2 over TLS")
	flags.BoolVar(&o.conditions.Auth, "auth", false, "the upstream demands tokens")
	flags.BoolVar(&o.conditions.WholeOnly, "no-ranges", false, "the upstream ignores ranges")
	flags.StringVar(&o.json, "json", "", "write the result to this `file` too")
	flags.StringVar(&o.folder, "folder", "", "keep everything in a new folder below this `folder` meanwhile; the file system is part of what is measured")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return o, err
		}
		return o, fmt.Errorf("%w: %w", errUsage, err)
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("%w: %q", errUsage, flags.Args())
	}
	o.scale = row.Full()
	if o.mini {
		o.scale = row.Miniature()
	}
	if *rounds > 0 {
		o.scale.Rounds = *rounds
	}
	if *duration > 0 {
		o.scale.Warm = *duration
	}
	if *objects > 0 {
		o.scale.Objects = *objects
		o.scale.Hot = min(o.scale.Hot, *objects)
	}
	return o, errors.Join(o.match(*rows, *contenders), o.place(*cpus))
}

func (o *options) match(rows, contenders string) error {
	var err error
	if o.rows, err = regexp.Compile(rows); err != nil {
		return fmt.Errorf("%w: -rows: %w", errUsage, err)
	}
	if o.contenders, err = regexp.Compile(contenders); err != nil {
		return fmt.Errorf("%w: -contenders: %w", errUsage, err)
	}
	for _, name := range contender.Names {
		if o.contenders.MatchString(name) {
			return nil
		}
	}
	return fmt.Errorf("%w: -contenders %q matches none of %s", errUsage, contenders, strings.Join(contender.Names, " "))
}

// place gives servers and clients processors of their own, if there are enough.
func (o *options) place(cpus string) error {
	if cpus == "" && runtime.NumCPU() >= 4 {
		cpus = "0-1"
	}
	var err error
	if o.servers, err = process.ParseCPUs(cpus); err != nil {
		return fmt.Errorf("%w: -server-cpus: %w", errUsage, err)
	}
	if len(o.servers) > 0 {
		o.clients = o.servers.Without(runtime.NumCPU())
	}
	return nil
}

// selected are the rows to measure.
func (o *options) selected() ([]row.Row, error) {
	var rows []row.Row
	var names []string
	for _, r := range row.All(o.scale) {
		names = append(names, r.Name)
		if o.rows.MatchString(r.Name) {
			rows = append(rows, r)
		}
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("%w: -rows %q matches none of %s", errUsage, o.rows, strings.Join(names, " "))
	}
	return rows, nil
}

// settings describe what the numbers depend on.
func (o *options) settings() string {
	text := fmt.Sprintf("%d rounds, warm ones of %s", o.scale.Rounds, o.scale.Warm)
	for name, on := range map[string]bool{"tls": o.conditions.TLS, "auth": o.conditions.Auth, "no-ranges": o.conditions.WholeOnly} {
		if on {
			text += ", -" + name
		}
	}
	if o.mini {
		text += ", in miniature: THE NUMBERS MEAN NOTHING"
	}
	if given := os.Getenv(contender.BinaryVariable); given != "" {
		text += ", berth is " + given
	}
	return text
}
