package store_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/berth-cache/berth/cache/store"
	"github.com/berth-cache/berth/cache/storetest"
)

// childEnv makes the test binary a child: it names the folder to open.
const childEnv = "BERTH_TEST_STORE"

// child opens the store and commits from several goroutines, deleting some again, until
// it is killed. It prints each digest once its Commit returned, and "-" before a Delete.
func child(dir string) int {
	s, err := store.OpenDisk(dir, store.DiskOptions{})
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
			for i := uint64(0); ; i++ {
				c := storetest.Random(seed*10_000+w*1000+i%1000, rand.IntN(40_000))
				if i%5 == 4 {
					fmt.Println("-" + c.Digest.String())
				}
				if err := keep(s, c); err != nil {
					panic(err)
				}
				if i%5 != 4 {
					fmt.Println(c.Digest)
				} else if err := remove(s, c.Digest); err != nil {
					panic(err)
				}
			}
		})
	}
	workers.Wait()
	return 0
}

// TestKill kills a process in the middle of its commits, again and again in the same
// folder: what it had committed is there, what is there is whole, nothing is left over.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	committed := map[digest.Digest]bool{}
	for round := range 20 {
		for _, line := range killed(t, dir, round) {
			d, deleted := strings.CutPrefix(line, "-")
			committed[digest.Digest(d)] = !deleted
		}
		s := openDisk(t, dir)
		if left, err := os.ReadDir(filepath.Join(dir, "staging")); err != nil || len(left) != 0 {
			t.Fatalf("staging holds %d files, %v", len(left), err)
		}
		for d, sure := range committed {
			if sure {
				wantWhole(t, s, d)
			}
		}
		var want store.Usage
		for _, d := range onDisk(t, dir) {
			want.Objects++
			want.Bytes += wantWhole(t, s, d)
		}
		if got := s.Usage(); got != want {
			t.Fatalf("round %d: Usage %+v, the files make %+v", round, got, want)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
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
	enough := rand.IntN(40)
	for {
		line, err := reader.ReadString('\n')
		if err != nil {
			break // a line cut short was not a promise
		}
		lines = append(lines, strings.TrimSpace(line))
		if len(lines) == enough+1 {
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
