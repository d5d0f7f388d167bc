// Berth is a pull-through cache for container images: one URL in front of Docker Hub,
// Docker Hardened Images, MCR, Quay and any other registry.
//
// Usage:
//
//	berth serve [--config FILE]   run the cache
//	berth check [--config FILE]   check a configuration and print what it means
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
	"syscall"

	"github.com/berth-cache/berth/config"
)

const usage = `Berth is a pull-through cache for container images.

Usage:
  berth serve [--config FILE]   run the cache
  berth check [--config FILE]   check a configuration and print what it means
  berth version                 print the version

Without --config, and without BERTH_CONFIG in the environment, Berth listens on
127.0.0.1:5000 with Docker Hub, dhi.io, MCR and Quay behind it and keeps its data in
./berth-data. Every key of the file is explained in docs/configuration.md.

Exit status: 0 done, 1 failed, 2 wrong usage or a faulty configuration.
`

// errUsage is printed with the usage already; only the exit status is left to say.
var errUsage = errors.New("wrong usage")

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
	case errors.Is(err, errUsage):
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
		return errUsage
	}
	switch args[0] {
	case "serve":
		cfg, err := configured("serve", args[1:])
		if err != nil {
			return err
		}
		return serve(ctx, cfg, out)
	case "check":
		cfg, err := configured("check", args[1:])
		if err != nil {
			return err
		}
		return check(cfg, out)
	case "version", "--version":
		fmt.Fprintln(out, "berth", version())
		return nil
	case "help", "--help", "-h":
		fmt.Fprint(out, usage)
		return nil
	default:
		fmt.Fprintf(os.Stderr, "berth: there is no command %q\n\n%s", args[0], usage)
		return errUsage
	}
}

// configured parses a command's flags and loads the configuration that they name.
func configured(command string, args []string) (*config.Config, error) {
	flags := flag.NewFlagSet("berth "+command, flag.ContinueOnError)
	flags.Usage = func() { fmt.Fprint(os.Stderr, usage) }
	path := flags.String("config", os.Getenv("BERTH_CONFIG"), "")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil, err
		}
		return nil, errUsage
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "berth: berth %s takes no argument %q; a configuration is named with --config\n\n%s", command, flags.Arg(0), usage)
		return nil, errUsage
	}
	if *path == "" {
		return config.Default(), nil
	}
	return config.Load(*path, os.LookupEnv)
}
