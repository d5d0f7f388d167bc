package row

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"

	"github.com/berth-cache/berth/bench/contender"
	"github.com/berth-cache/berth/bench/process"
	"github.com/berth-cache/berth/bench/report"
	"github.com/berth-cache/berth/bench/upstream"
)

// Bench is how a run is made.
type Bench struct {
	Programs contender.Programs
	Scale    Scale
	// Folder is an existing one; rows keep their things in it while they are measured.
	Folder string
	// Contenders selects by name.
	Contenders *regexp.Regexp
	// Servers are the processors of the contenders, Clients those of upstream and load.
	Servers, Clients process.CPUs
	// Conditions are added to those of every row, but for latency and bandwidth.
	Conditions upstream.Conditions
	Logger     *slog.Logger
}

// Row is one line of the budgets.
type Row struct {
	Name, Title string
	// contenders are those that can take part; absent says of the others why not.
	contenders []string
	absent     map[string]string
	columns    []report.Column
	budgets    []report.Budget
	measure    func(ctx context.Context, s *stage) error
}

// Measure measures one row. It ends when ctx does.
func (b *Bench) Measure(ctx context.Context, r Row) report.Row {
	result := report.Row{Name: r.Name, Title: r.Title, Columns: r.columns}
	s := &stage{bench: b, logger: b.Logger.With("row", r.Name)}
	for _, name := range contender.Names {
		if !b.Contenders.MatchString(name) {
			continue
		}
		for _, part := range r.contenders {
			if part == name {
				s.entrants = append(s.entrants, &entrant{name: name})
			}
		}
		if why, ok := r.absent[name]; ok {
			e := &entrant{name: name}
			e.leave("not measured: " + why)
			s.entrants = append(s.entrants, e)
		}
	}
	if err := s.run(ctx, r); err != nil {
		result.Failed = err.Error()
	}
	for _, e := range s.entrants {
		result.Contenders = append(result.Contenders, report.Contender{Name: e.name, Rounds: e.rounds, Notes: e.notes})
	}
	result.Judge(r.budgets)
	return result
}

// run gives the row a folder, measures, and leaves nothing behind.
func (s *stage) run(ctx context.Context, r Row) (err error) {
	if s.folder, err = os.MkdirTemp(s.bench.Folder, r.Name+"-"); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	defer func() {
		s.close()
		err = errors.Join(err, os.RemoveAll(s.folder))
	}()
	return r.measure(ctx, s)
}

// subfolder makes a new folder of the row's.
func (s *stage) subfolder(name string) (string, error) {
	folder := filepath.Join(s.folder, name)
	if err := os.Mkdir(folder, 0o700); err != nil {
		return "", fmt.Errorf("make folder: %w", err)
	}
	return folder, nil
}
