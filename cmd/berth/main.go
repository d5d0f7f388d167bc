// Berth is a pull-through cache for container images: one URL in front of Docker Hub,
// Docker Hardened Images, MCR, Quay and any other registry.
//
// Usage:
//
//	berth serve [--config FILE]   run the cache
//	berth check [--config FILE]   check configuration, data and upstreams
//	berth check --repair [--config FILE]   repair the data of a Berth that is stopped
//	berth version                 print the version
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/berth-cache/berth/config"
)

const usage = `Berth is a pull-through cache for container images.

Usage:
  berth serve [--config FILE]   run the cache
  berth check [--config FILE] [--image NAME]... [--offline]
                                check configuration and data, print what they mean, and
                                ask each upstream whether it answers and takes the login;
                                with --image also whether it has that, without a pull;
                                with --offline no upstream is asked
  berth check --repair [--config FILE]
                                repair the data folder of a Berth that is stopped
  berth version                 print the version

Without --config, and without BERTH_CONFIG in the environment, Berth listens on
127.0.0.1:5000 with Docker Hub, dhi.io, MCR and Quay behind it and keeps its data in
./berth-data. Every key of the file is explained in docs/configuration.md.

serve reads the file again when it changes, or on SIGHUP; a faulty one is refused and the
one before holds. SIGTERM and SIGINT let pulls finish; a second one ends at once.

Exit status: 0 done, 1 failed (or for check: the data folder cannot be used as it is),
2 wrong usage or a faulty or missing configuration, 3 (check alone) an upstream cannot be
used as it is configured, or none has the image.
`

var (
	// errUsage ends the errors of whoever called the program.
	errUsage = errors.New("see berth --help")
	// errNothing is told by the usage, which has been printed.
	errNothing = errors.New("no command")
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the process at once: after the first, signals are the system's again.
	context.AfterFunc(ctx, stop)
	os.Exit(exitStatus(run(ctx, os.Args[1:], os.Stdout)))
}

// exitStatus prints err to standard error, if there is one to print.
func exitStatus(err error) int {
	switch faults, faulty := errors.AsType[config.Faults](err); {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errNothing):
		return 2
	case errors.Is(err, errUpstreams), errors.Is(err, errImages):
		fmt.Fprintln(os.Stderr, "berth:", err)
		return 3
	case errors.Is(err, errUsage):
		fmt.Fprintln(os.Stderr, "berth:", err)
		return 2
	case faulty:
		fmt.Fprintln(os.Stderr, faults)
		return 2
	default:
		fmt.Fprintln(os.Stderr, "berth:", err)
		return 1
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) == 0 {
		fmt.Fprint(os.Stderr, usage)
		return errNothing
	}
	switch args[0] {
	case "serve":
		from, err := configured("serve", args[1:])
		if err != nil {
			return err
		}
		return serve(ctx, from, out)
	case "check":
		var flags checkFlags
		from, err := configured("check", args[1:], flags.add)
		if err != nil {
			return err
		}
		cfg, err := from.load()
		if err != nil {
			return err
		}
		if flags.repair && (flags.offline || len(flags.images) > 0) {
			return fmt.Errorf("--repair asks no upstream; leave out --offline and --image; %w", errUsage)
		}
		if flags.offline && len(flags.images) > 0 {
			return fmt.Errorf("--image asks upstreams, and --offline none; leave out one; %w", errUsage)
		}
		if flags.repair {
			return repair(ctx, cfg, out)
		}
		return check(ctx, cfg, flags, out)
	case "version", "--version":
		fmt.Fprintln(out, "berth", version())
		return nil
	case "help", "--help", "-h":
		fmt.Fprint(out, usage)
		return nil
	default:
		if strings.HasPrefix(args[0], "-") {
			return fmt.Errorf("%q stands where serve, check or version belongs; %w", args[0], errUsage)
		}
		return fmt.Errorf("there is no command %q; %w", args[0], errUsage)
	}
}

// configured parses a command's flags, more of which may be added, and returns where its
// configuration is.
func configured(command string, args []string, more ...func(*flag.FlagSet)) (source, error) {
	flags := flag.NewFlagSet("berth "+command, flag.ContinueOnError)
	flags.SetOutput(io.Discard) // the error is printed at the end, where it is seen
	path := flags.String("config", os.Getenv("BERTH_CONFIG"), "")
	for _, add := range more {
		add(flags)
	}
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(os.Stderr, usage)
		return source{}, err
	case err != nil:
		return source{}, fmt.Errorf("%w; %w", err, errUsage)
	case flags.NArg() > 0:
		return source{}, fmt.Errorf("berth %s takes no argument %q, a configuration is named with --config; %w", command, flags.Arg(0), errUsage)
	}
	return source{*path}, nil
}
