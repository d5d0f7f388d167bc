package row

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/berth-cache/berth/bench/contender"
	"github.com/berth-cache/berth/bench/load"
	"github.com/berth-cache/berth/bench/process"
	"github.com/berth-cache/berth/bench/report"
	"github.com/berth-cache/berth/bench/upstream"
)

// startBound is how long a program may take to start.
const startBound = 2 * time.Minute

// stage is a row being measured: its upstream, its contenders, and what came of them.
type stage struct {
	bench    *Bench
	logger   *slog.Logger
	folder   string
	entrants []*entrant
	remote   *process.Daemon
	control  *upstream.Control
	endpoint upstream.Endpoint
}

// entrant is a contender in a row.
type entrant struct {
	name    string
	servers []*contender.Server
	rounds  []report.Sample
	notes   []string
	// out says that it takes no further part.
	out bool
}

// server is the first that was started for the entrant.
func (e *entrant) server() *contender.Server { return e.servers[0] }

// note adds a line about the entrant, once.
func (e *entrant) note(text string) {
	if !slices.Contains(e.notes, text) {
		e.notes = append(e.notes, text)
	}
}

// leave takes the entrant out of the row.
func (e *entrant) leave(why string) {
	e.out = true
	e.note(why)
	for _, s := range e.servers {
		s.Stop()
	}
}

// close ends all that runs.
func (s *stage) close() {
	for _, e := range s.entrants {
		for _, server := range e.servers {
			server.Stop()
		}
	}
	if s.remote != nil {
		s.remote.Stop()
	}
}

// upstream starts the row's upstream.
func (s *stage) upstream(ctx context.Context, c upstream.Conditions) error {
	extra := s.bench.Conditions
	c.TLS, c.Auth, c.WholeOnly = extra.TLS, extra.Auth, extra.WholeOnly
	encoded, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("start upstream: %w", err)
	}
	command := process.Command{Path: s.bench.Programs.Upstream, Args: []string{string(encoded)}, CPUs: s.bench.Clients}
	log := filepath.Join(s.folder, "upstream.log")
	if s.remote, err = process.Start(ctx, command, log); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startBound)
	defer cancel()
	return s.remote.Await(ctx, func(ctx context.Context) error {
		// The first line is the address of its desk.
		content, err := os.ReadFile(log)
		if err != nil {
			return err
		}
		addr, _, whole := strings.Cut(string(content), "\n")
		if !whole {
			return errors.New("no address yet")
		}
		s.control = upstream.NewControl(addr)
		s.endpoint, err = s.control.Endpoint(ctx)
		return err
	})
}

// start starts a server for each entrant, and takes those out that cannot be. What is
// common to all in the setting is added.
func (s *stage) start(ctx context.Context, label string, setting contender.Setting) error {
	for _, e := range s.entrants {
		if e.out {
			continue
		}
		folder, err := s.subfolder(e.name + label)
		if err != nil {
			return err
		}
		setting.Folder, setting.Upstream, setting.CPUs = folder, s.endpoint, s.bench.Servers
		starting, cancel := context.WithTimeout(ctx, startBound)
		server, err := s.bench.Programs.Start(starting, e.name, setting)
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			e.leave(err.Error())
			continue
		}
		e.servers = append(e.servers, server)
	}
	return nil
}

// load carries a plan out against a server, in a process of its own.
func (s *stage) load(ctx context.Context, server *contender.Server, p load.Plan) (load.Result, error) {
	if p.Bound == 0 {
		p.Bound = s.bench.Scale.Bound
	}
	encoded, err := json.Marshal(server.Plan(p))
	if err != nil {
		return load.Result{}, fmt.Errorf("load: %w", err)
	}
	// The bound is the client's own; this one is for a client that hangs.
	ctx, cancel := context.WithTimeout(ctx, p.Bound+startBound)
	defer cancel()
	command := process.Command{Path: s.bench.Programs.Load, CPUs: s.bench.Clients, Stdin: bytes.NewReader(encoded)}
	out, err := command.Run(ctx)
	if err != nil {
		return load.Result{}, err
	}
	var r load.Result
	if err := json.Unmarshal(out, &r); err != nil {
		return load.Result{}, fmt.Errorf("load: %w", err)
	}
	return r, nil
}

// each measures every entrant that is left in every round. Whoever begins changes with the
// round, so that nobody always comes after the same one.
func (s *stage) each(ctx context.Context, measure func(round int, e *entrant) (report.Sample, error)) error {
	for round := range s.bench.Scale.Rounds {
		for i := range s.entrants {
			e := s.entrants[(i+round)%len(s.entrants)]
			if e.out {
				continue
			}
			s.logger.Info("measure", "round", round+1, "contender", e.name)
			sample, err := measure(round, e)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if errors.Is(err, contender.ErrAbsent) {
				e.leave(err.Error())
				continue
			}
			if sample == nil {
				sample = report.Sample{}
			}
			e.rounds = append(e.rounds, sample)
			if err != nil {
				e.leave(fmt.Sprintf("gave up in round %d: %v", round+1, err))
			}
		}
	}
	return nil
}

// failures tells of what went wrong in a measurement that went on.
func (e *entrant) failures(r load.Result) {
	if r.Failed > 0 {
		e.note(fmt.Sprintf("%d of %d failed: %s", r.Failed, r.Failed+r.Requests, strings.Join(r.Faults, "; ")))
	}
}
