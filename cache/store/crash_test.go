package store_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/berth-cache/berth/cache/store"
	"github.com/berth-cache/berth/cache/storetest"
)

const (
	// childEnv makes the test binary a child: it names the folder to open.
	childEnv = "BERTH_TEST_STORE"
	// soakEnv makes the crash test a long one.
	soakEnv = "BERTH_SOAK"
	// commitsEnv is how many commits each worker of a child makes; endless unless it is set.
	commitsEnv = "BERTH_TEST_COMMITS"
	// failEnv says that a child's syncs fail at times.
	failEnv = "BERTH_TEST_FAILING"
	// childBytes is what a child may hold: some fifty objects. One that comes to an end has
	// smaller ones, and may hold as many.
	childBytes = 1_000_000
	smallBytes = childBytes / 20
)

// child opens the store and commits more than it may hold from several goroutines, using
// and deleting some again, until it is killed or has made its commits. It prints "?" and a
// digest before each Commit, "+" once it returned, "-" before a Delete, and "!" before an
// eviction.
func child(dir string) int {
	commits, limit := uint64(math.MaxUint64), int64(childBytes)
	if n, err := strconv.ParseUint(os.Getenv(commitsEnv), 10, 32); err == nil {
		commits, limit = n, smallBytes
	}
	s, err := store.OpenDisk(dir, store.DiskOptions{Limits: store.Limits{MaxBytes: limit}, Logger: slog.New(evictions{})})
	if err != nil {
		fmt.Println(err)
		return 3
	}
	seed, err := strconv.ParseUint(os.Getenv("BERTH_TEST_SEED"), 10, 32)
	if err != nil {
		return 4
	}
	var workers sync.WaitGroup
	for w := range uint64(4) {
		workers.Go(func() {
			var first digest.Digest
			for i := range commits {
				c := storetest.Random(seed*10_000+w*1000+i%1000, rand.IntN(int(limit/25)))
				for limit == smallBytes && c.Digest.Encoded() >= "04" {
					c = storetest.Random(rand.Uint64(), 100+rand.IntN(smallBytes/25)) // few folders, so that they meet
				}
				commit(s, c)
				if i == 0 {
					first = c.Digest
				}
				s.Use(first)
				if i%5 != 4 {
					continue
				}
				fmt.Println("-" + c.Digest.String())
				if err := remove(s, c.Digest); err != nil && !failing(err) {
					panic(err)
				}
				if i%10 == 9 {
					commit(s, c)
				}
			}
		})
	}
	workers.Wait()
	if err := s.Close(); err != nil && !failing(err) {
		panic(err)
	}
	return 0
}

// failing tells whether err is that of a disk that fails on purpose, also where bbolt has
// only its text, or of an eviction that met one.
func failing(err error) bool {
	return os.Getenv(failEnv) != "" && (errors.Is(err, store.ErrFull) || strings.Contains(err.Error(), syscall.EIO.Error()))
}

// commit commits c. A disk that fails is no promise, and no reason to end.
func commit(s *store.Disk, c storetest.Content) {
	fmt.Println("?" + c.Digest.String())
	switch err := keep(s, c); {
	case err == nil:
		fmt.Println("+" + c.Digest.String())
	case failing(err):
		fmt.Println("x" + c.Digest.String())
	default:
		panic(err)
	}
}

// evictions prints what a store logs of those.
type evictions struct{}

func (evictions) Enabled(context.Context, slog.Level) bool { return true }
func (e evictions) WithAttrs([]slog.Attr) slog.Handler     { return e }
func (e evictions) WithGroup(string) slog.Handler          { return e }

func (evictions) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "content is evicted" {
		r.Attrs(func(a slog.Attr) bool {
			if a.Key == "digest" {
				fmt.Println("!" + a.Value.String())
			}
			return true
		})
	}
	return nil
}

// ledger is what children told.
type ledger struct {
	commits, failures, deletions, evictions int
	// sure is what was committed and has not been dropped since; dropped is what was
	// dropped since its last Commit began, which may be told before that it returned.
	sure, dropped map[digest.Digest]bool
}

func newLedger() *ledger {
	return &ledger{sure: map[digest.Digest]bool{}, dropped: map[digest.Digest]bool{}}
}

func (l *ledger) hear(line string) {
	d := digest.Digest(line[1:])
	switch line[0] {
	case '?':
		delete(l.sure, d)
		delete(l.dropped, d)
	case '+':
		l.commits++
		l.sure[d] = !l.dropped[d]
	case 'x':
		l.failures++
	case '-':
		l.deletions++
		l.sure[d], l.dropped[d] = false, true
	case '!':
		l.evictions++
		l.sure[d], l.dropped[d] = false, true
	}
}

// TestCrash kills a process in the middle of its commits and evictions, again and again in
// the same folder: what it had committed is there, what is there is whole and recorded,
// nothing is left over. With BERTH_SOAK=1 it does so two hundred times; -v prints figures.
func TestCrash(t *testing.T) {
	kills := 10
	if os.Getenv(soakEnv) == "1" {
		kills = 200
	}
	dir := t.TempDir()
	told := newLedger()
	for round := range kills {
		for _, line := range killed(t, dir, round) {
			told.hear(line)
		}
		wantIntact(t, dir, told)
		if t.Failed() {
			t.Fatalf("after kill %d", round+1)
		}
	}
	if told.evictions == 0 || told.deletions == 0 {
		t.Errorf("%d evictions, %d deletions: too few to tell anything", told.evictions, told.deletions)
	}
	t.Logf("%d kills, %d commits, %d evictions, %d deletions, 0 losses", kills, told.commits, told.evictions, told.deletions)
}

// wantIntact starts a store after a kill and looks at all of it.
func wantIntact(t *testing.T, dir string, told *ledger) {
	t.Helper()
	s := openDisk(t, dir)
	defer mustClose(t, s)
	if left := files(t, filepath.Join(dir, "staging")); len(left) != 0 {
		t.Errorf("staging holds %d files", len(left))
	}
	// Before anything is asked for, which would mend what is wrong.
	lying := map[digest.Digest]bool{}
	for _, d := range onDisk(t, dir) {
		lying[d] = true
	}
	var want store.Usage
	for _, o := range objects(t, s, "") {
		if !lying[o.Digest] {
			t.Errorf("%s is recorded, and has no file", o.Digest)
			continue
		}
		delete(lying, o.Digest)
		want.Objects++
		want.Bytes += wantWhole(t, s, o.Digest)
	}
	if len(lying) > 0 {
		t.Errorf("%d files have no record", len(lying))
	}
	wantUsage(t, s, want)
	for d, sure := range told.sure {
		if sure {
			wantWhole(t, s, d)
		}
	}
	if want.Bytes > childBytes {
		t.Errorf("%d bytes are held, of at most %d", want.Bytes, childBytes)
	}
}

// killed runs a child, kills it after some commits and returns the lines it got out.
func killed(t *testing.T, dir string, round int) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+dir, "BERTH_TEST_SEED="+strconv.Itoa(round))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var lines []string
	reader := bufio.NewReader(out)
	enough := rand.IntN(200)
	for {
		line, err := reader.ReadString('\n')
		if err != nil {
			break // a line cut short was not a promise
		}
		lines = append(lines, strings.TrimSpace(line))
		if len(lines) == enough+1 {
			time.Sleep(rand.N(2 * time.Millisecond)) // a moment that no line tells of
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil || len(lines) <= enough {
		t.Fatalf("child ended by itself, not killed: %v %q %s", err, lines, stderr.String())
	}
	return lines
}

// onDisk lists the digests that files lie under.
func onDisk(t *testing.T, dir string) []digest.Digest {
	t.Helper()
	var found []digest.Digest
	err := filepath.WalkDir(filepath.Join(dir, "sha256"), func(file string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // nothing was committed yet
		}
		if err == nil && !e.IsDir() {
			found = append(found, digest.NewDigestFromEncoded(digest.SHA256, filepath.Base(file)))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestSecondProcess(t *testing.T) {
	dir := t.TempDir()
	openDisk(t, dir)
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+dir)
	out, err := cmd.Output()
	if err == nil {
		t.Fatal("a second process opened the folder")
	}
	for _, want := range []string{dir, "in use by another process", "process " + strconv.Itoa(os.Getpid())} {
		if !strings.Contains(string(out), want) {
			t.Errorf("error %q does not name %q", out, want)
		}
	}
}
