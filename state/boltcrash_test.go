package state_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-cache/berth/state"
)

// crashFile names the environment variable that makes the test binary a writer to kill.
const crashFile = "BERTH_TEST_CRASH_FILE"

const crashWriters = 8

// writeUntilKilled writes as fast as it can, and says of every write on standard output
// that it was acknowledged: "writer number" for the key of that name.
func writeUntilKilled(path string) {
	b, err := state.OpenBolt(path, state.BoltOptions{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	ctx := context.Background()
	var wg sync.WaitGroup
	for writer := range crashWriters {
		wg.Go(func() {
			for n := range 1_000_000 {
				key := fmt.Sprintf("%d/%d", writer, n)
				// Some values take many pages, so that the kill may come in between.
				err := b.Put(ctx, key, crashValue(writer, n), time.Duration(n%2)*time.Hour)
				if err == nil && n > 0 {
					err = b.Delete(ctx, fmt.Sprintf("%d/%d", writer, n-1))
				}
				if err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
				fmt.Printf("%d %d\n", writer, n)
			}
		})
	}
	wg.Wait()
}

func crashValue(writer, n int) []byte {
	return []byte(strings.Repeat(fmt.Sprintf("%d/%d ", writer, n), 1+n%7*1000))
}

// TestBoltCrash kills a writing process: everything that it was told is durable is there
// afterwards, whole, and what it deleted is not.
func TestBoltCrash(t *testing.T) {
	for round := range 3 {
		t.Run(strconv.Itoa(round), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "state.db")
			acknowledged := killWhileWriting(t, path, 50+rand.IntN(300))
			b := openBolt(t, path)
			entries, err := b.Scan(t.Context(), state.Range{Limit: 10 * crashWriters})
			must(t, err)
			last := map[int]int{}
			for _, e := range entries {
				var writer, n int
				if _, err := fmt.Sscanf(e.Key, "%d/%d", &writer, &n); err != nil {
					t.Fatal(err)
				}
				if string(e.Value) != string(crashValue(writer, n)) {
					t.Errorf("value of %q is not what was put", e.Key)
				}
				if n < acknowledged[writer] {
					t.Errorf("%q is back, which was deleted before %d", e.Key, acknowledged[writer])
				}
				last[writer] = max(last[writer], n)
			}
			for writer, n := range acknowledged {
				if last[writer] < n {
					t.Errorf("writer %d was told that %d is durable, found %d", writer, n, last[writer])
				}
			}
			must(t, b.Put(t.Context(), "after", nil, 0))
		})
	}
}

// killWhileWriting kills a writer after it said count lines, and returns the highest
// number that each of its goroutines said.
func killWhileWriting(t *testing.T, path string, count int) map[int]int {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), crashFile+"="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	acknowledged := map[int]int{}
	lines := bufio.NewReader(out)
	for said := 0; ; said++ {
		line, err := lines.ReadString('\n')
		if err != nil {
			break // a line that was cut by the kill does not count
		}
		var writer, n int
		if _, err := fmt.Sscanf(line, "%d %d", &writer, &n); err != nil {
			t.Fatal(err)
		}
		acknowledged[writer] = max(acknowledged[writer], n)
		if said == count {
			must(t, cmd.Process.Kill())
		}
	}
	if err := cmd.Wait(); err == nil || cmd.ProcessState.Exited() {
		t.Fatalf("the writer ended by itself: %v", err)
	}
	return acknowledged
}
