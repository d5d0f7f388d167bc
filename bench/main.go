package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/berth-cache/berth/bench/contender"
	"github.com/berth-cache/berth/bench/process"
	"github.com/berth-cache/berth/bench/report"
	"github.com/berth-cache/berth/bench/row"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errUsage):
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run measures what args select and writes the table to out.
func run(ctx context.Context, args []string, out io.Writer) (err error) {
	o, err := parse(args)
	if err != nil {
		return err
	}
	rows, err := o.selected()
	if err != nil {
		return err
	}
	folder, err := os.MkdirTemp(o.folder, "berth-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	bench, result, err := prepare(ctx, o, folder)
	if err != nil {
		return err
	}
	if err := result.WriteHeader(out); err != nil {
		return err
	}
	// What was measured is told even when the run was interrupted.
	var failed error
	for _, r := range rows {
		measured := bench.Measure(ctx, r)
		result.Rows = append(result.Rows, measured)
		failed = errors.Join(failed, measured.Write(out))
		if measured.Failed != "" {
			failed = errors.Join(failed, fmt.Errorf("row %s: %s", r.Name, measured.Failed))
		}
		if ctx.Err() != nil {
			break
		}
	}
	if o.json != "" {
		failed = errors.Join(failed, save(o.json, result))
	}
	return failed
}

// prepare builds what is run and describes what it runs on.
func prepare(ctx context.Context, o options, folder string) (*row.Bench, report.Run, error) {
	b := &row.Bench{
		Scale: o.scale, Folder: folder, Contenders: o.contenders, Conditions: o.conditions,
		Servers: o.servers, Clients: o.clients, Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}
	b.Logger.Info("build")
	module, err := module(ctx)
	if err != nil {
		return nil, report.Run{}, err
	}
	programs := filepath.Join(folder, "bin")
	if err := os.Mkdir(programs, 0o700); err != nil {
		return nil, report.Run{}, err
	}
	if b.Programs, err = contender.Build(ctx, module, programs); err != nil {
		return nil, report.Run{}, err
	}
	result, err := describe(ctx, o, b.Programs)
	return b, result, err
}

// module is the folder of the bench's source.
func module(ctx context.Context) (string, error) {
	out, err := process.Command{Path: "go", Args: []string{"env", "GOMOD"}}.Run(ctx)
	if err != nil {
		return "", err
	}
	file := string(bytes.TrimSpace(out))
	if filepath.Base(filepath.Dir(file)) != "bench" {
		return "", fmt.Errorf("%w: run it in the folder bench", errUsage)
	}
	return filepath.Dir(file), nil
}

func describe(ctx context.Context, o options, p contender.Programs) (report.Run, error) {
	m, err := report.ThisMachine()
	if err != nil {
		return report.Run{}, err
	}
	m.ServerCPUs, m.ClientCPUs = o.servers.String(), o.clients.String()
	if m.Versions, err = p.Versions(ctx); err != nil {
		return report.Run{}, err
	}
	return report.Run{Machine: m, Settings: o.settings()}, nil
}

func save(name string, r report.Run) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(r.WriteJSON(f), f.Close())
}
