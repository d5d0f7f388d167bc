package row_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/berth-cache/berth/bench/contender"
	"github.com/berth-cache/berth/bench/report"
	"github.com/berth-cache/berth/bench/row"
	"github.com/berth-cache/berth/bench/upstream"
)

// programs are built once for all tests.
var programs contender.Programs

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	folder, err := os.MkdirTemp("", "berth-bench-test-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(folder)
	module, err := filepath.Abs("..")
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	if programs, err = contender.Build(ctx, module, folder); err != nil {
		panic(err)
	}
	status := m.Run()
	if err := goleak.Find(); err != nil && status == 0 {
		panic(err)
	}
	return status
}

func newBench(t *testing.T) *row.Bench {
	return &row.Bench{
		Programs: programs, Scale: row.Miniature(), Folder: t.TempDir(),
		Contenders: regexp.MustCompile(""), Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
}

// named finds a row.
func named(t *testing.T, b *row.Bench, name string) row.Row {
	t.Helper()
	rows := row.All(b.Scale)
	i := slices.IndexFunc(rows, func(r row.Row) bool { return r.Name == name })
	if i < 0 {
		t.Fatalf("there is no row %s", name)
	}
	return rows[i]
}

func contenderOf(t *testing.T, r report.Row, name string) report.Contender {
	t.Helper()
	i := slices.IndexFunc(r.Contenders, func(c report.Contender) bool { return c.Name == name })
	if i < 0 {
		t.Fatalf("%s: %s is not named", r.Name, name)
	}
	return r.Contenders[i]
}

// fine are the columns that a clock of 10 ms can leave empty in miniature.
var fine = []string{"per_cpu", "bytes_per_cpu", "few", "many", "ratio"}

// Every row is measured in miniature, with all contenders that are here; the rows run beside
// each other, for their numbers mean nothing anyway.
func TestEveryRow(t *testing.T) {
	for _, r := range row.All(row.Miniature()) {
		t.Run(r.Name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			if r.Name == "eviction" {
				b.Scale.Rounds = 1 // nginx looks every 10 s whether it holds too much
			}
			got := b.Measure(t.Context(), r)
			if got.Failed != "" || len(got.Contenders) < 3 {
				t.Fatalf("%d contenders, failed: %q", len(got.Contenders), got.Failed)
			}
			for _, c := range got.Contenders {
				wantContender(t, b, got, c)
			}
			if left, err := os.ReadDir(b.Folder); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

// wantContender checks that a contender was measured in full, or says why not.
func wantContender(t *testing.T, b *row.Bench, r report.Row, c report.Contender) {
	t.Helper()
	if len(c.Rounds) == 0 {
		if len(c.Notes) == 0 || !strings.Contains(c.Notes[0], "not measured: ") {
			t.Errorf("%s is not measured and does not say why: %q", c.Name, c.Notes)
		}
		if c.Name == contender.Berth {
			t.Errorf("berth is not measured: %q", c.Notes)
		}
		return
	}
	if len(c.Rounds) != b.Scale.Rounds || len(c.Notes) > 0 {
		t.Errorf("%s: %d rounds, notes %q", c.Name, len(c.Rounds), c.Notes)
	}
	for _, s := range c.Rounds {
		for _, column := range r.Columns {
			_, ok := s[column.Key]
			if !ok && !slices.Contains(fine, column.Key) && (c.Name != contender.Direct || column.Key != "peak") {
				t.Errorf("%s has no %s: %v", c.Name, column.Key, s)
			}
		}
		if s["failed"] != 0 {
			t.Errorf("%s: %g failed", c.Name, s["failed"])
		}
		if upstream, ok := s["upstream"]; ok && c.Name != contender.Distribution && c.Name != contender.Direct && upstream != 1 {
			t.Errorf("%s had %g × the image from upstream", c.Name, upstream)
		}
	}
}

// The upstream's conditions reach every contender, and those that cannot live with them
// say so.
func TestConditions(t *testing.T) {
	for name, c := range map[string]struct {
		conditions upstream.Conditions
		absent     []string
	}{
		"TLS":       {upstream.Conditions{TLS: true}, nil},
		"tokens":    {upstream.Conditions{Auth: true}, []string{contender.Nginx}},
		"no ranges": {upstream.Conditions{WholeOnly: true}, nil},
		"both":      {upstream.Conditions{Auth: true, TLS: true}, []string{contender.Nginx}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.Conditions = c.conditions
			got := b.Measure(t.Context(), named(t, b, "cold"))
			var absent []string
			for _, one := range got.Contenders {
				if len(one.Rounds) == 0 {
					absent = append(absent, one.Name)
				} else if len(one.Notes) > 0 {
					t.Errorf("%s: %q", one.Name, one.Notes)
				}
			}
			if programs.Nginx == "" {
				absent = slices.DeleteFunc(absent, func(name string) bool { return name == contender.Nginx })
				c.absent = nil
			}
			if diff := cmp.Diff(c.absent, absent); diff != "" {
				t.Errorf("absent (-want +got):\n%s", diff)
			}
		})
	}
}

// What is missing or broken is named, and the others are measured all the same.
func TestMissingContenders(t *testing.T) {
	b := newBench(t)
	b.Programs.Nginx, b.Programs.Berth = "", "/bin/false"
	got := b.Measure(t.Context(), named(t, b, "manifest-head"))
	for name, want := range map[string]string{
		contender.Nginx: "not measured: nginx is not installed",
		contender.Berth: "ended by itself",
	} {
		if c := contenderOf(t, got, name); len(c.Rounds) > 0 || len(c.Notes) != 1 || !strings.Contains(c.Notes[0], want) {
			t.Errorf("%s: %d rounds, %q", name, len(c.Rounds), c.Notes)
		}
	}
	if c := contenderOf(t, got, contender.Floor); len(c.Rounds) != b.Scale.Rounds || len(c.Notes) > 0 {
		t.Errorf("floor: %d rounds, %q", len(c.Rounds), c.Notes)
	}
	for _, v := range got.Verdicts {
		if v.Outcome != report.Unmeasured {
			t.Errorf("%+v", v)
		}
	}
}

func TestContendersAreSelected(t *testing.T) {
	b := newBench(t)
	b.Contenders = regexp.MustCompile("^direct$")
	got := b.Measure(t.Context(), named(t, b, "cold"))
	if len(got.Contenders) != 1 || len(contenderOf(t, got, contender.Direct).Rounds) != b.Scale.Rounds {
		t.Errorf("%+v", got.Contenders)
	}
}

// Who cannot finish is given up, with its reason, and nothing of it stays.
func TestBoundEndsAMeasurement(t *testing.T) {
	b := newBench(t)
	b.Contenders = regexp.MustCompile("^direct$")
	// At 50 MB/s the layer takes ten seconds.
	b.Scale.Huge, b.Scale.Bound = 1<<29, 300*time.Millisecond
	got := b.Measure(t.Context(), named(t, b, "throttled"))
	c := contenderOf(t, got, contender.Direct)
	if len(c.Rounds) != 1 || c.Rounds[0]["failed"] != 1 || !strings.Contains(strings.Join(c.Notes, "\n"), "not finished within 300ms") {
		t.Errorf("%+v", c)
	}
}
