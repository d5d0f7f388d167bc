package store_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
)

// history is what processes did in one folder, one after the other.
type history struct {
	seed uint64
	rand *rand.Rand
	disk *disk
	told *ledger
	// commits is how many each worker of a process makes.
	commits int
	// line goes on over the traces of all processes.
	line int
	figures
}

// figures tell how much was done.
type figures struct {
	processes, operations, syncs, losses, committed, evictions, deletions int
}

func newHistory(t *testing.T, seed uint64) *history {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "disk")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return &history{
		commits: 12, seed: seed, rand: rand.New(rand.NewPCG(seed, 0)), told: newLedger(),
		disk: &disk{path: dir, root: folder()},
	}
}

// TestPower traces processes that commit, evict and delete, and builds their folder as a
// disk may have it when power is lost: what was committed is there, what is there is whole
// and recorded, nothing is left over. A process is killed, and the next goes on in the
// folder as the kernel's cache has it; that loses power, and the last goes on in what the
// disk has. With BERTH_SOAK=1 there are sixty of them; -v prints figures.
func TestPower(t *testing.T) {
	needStrace(t)
	histories, points := 6, 10
	long := os.Getenv(soakEnv) == "1"
	if long {
		histories, points = 20, 200
	}
	var mu sync.Mutex // guards sum
	var sum figures
	t.Run("", func(t *testing.T) {
		for seed := range histories {
			t.Run(strconv.Itoa(seed), func(t *testing.T) {
				t.Parallel()
				h := newHistory(t, uint64(seed))
				h.killed(t, points)
				h.powerless(t, points)
				if long {
					h.replay(t, h.trace(t), points)
				}
				mu.Lock()
				defer mu.Unlock()
				sum.add(h)
			})
		}
	})
	if sum.evictions == 0 || sum.deletions == 0 {
		t.Errorf("%d evictions, %d deletions: too few to tell anything", sum.evictions, sum.deletions)
	}
	t.Log(sum)
}

func (f *figures) add(h *history) {
	f.processes += h.processes
	f.operations += h.operations + h.disk.operations
	f.syncs += h.syncs + h.disk.syncs
	f.losses += h.losses
	f.committed += h.told.commits
	f.evictions += h.told.evictions
	f.deletions += h.told.deletions
}

func (f figures) String() string {
	return fmt.Sprintf("%d processes, %d operations, %d syncs, %d commits, %d evictions, %d deletions, %d losses of power, 0 of content",
		f.processes, f.operations, f.syncs, f.committed, f.evictions, f.deletions, f.losses)
}

// killed has a process use the folder that is killed before its last sync of some kind of
// file or folder, so that nobody does that later.
func (h *history) killed(t *testing.T, points int) {
	t.Helper()
	calls := h.trace(t)
	syncs := h.syncsByKind(calls)
	kinds := slices.Sorted(maps.Keys(syncs))
	ofKind := syncs[kinds[h.seed%uint64(len(kinds))]]
	h.replay(t, calls[:ofKind[len(ofKind)-1]], points)
	h.disk.path = h.build(t, filepath.Join(t.TempDir(), "disk"), alive())
}

// powerless has a process use the folder that loses power before some sync.
func (h *history) powerless(t *testing.T, points int) {
	t.Helper()
	calls := h.trace(t)
	syncs := slices.Concat(slices.Collect(maps.Values(h.syncsByKind(calls)))...)
	slices.Sort(syncs)
	h.replay(t, calls[:syncs[h.rand.IntN(len(syncs))]], points)
	w := weathers(h.rand, h.line)[h.rand.IntN(3)]
	d, err := load(h.build(t, filepath.Join(t.TempDir(), "disk"), w))
	if err != nil {
		t.Fatal(err)
	}
	h.operations, h.syncs = h.disk.operations, h.disk.syncs
	h.disk = d
}

// syncsByKind finds the syncs among calls that follow the first commit.
func (h *history) syncsByKind(calls []call) map[string][]int {
	syncs := map[string][]int{}
	started, meta := false, false
	for i, c := range calls {
		_, said := c.said()
		started = started || said
		if c.name == "pwrite64" {
			meta = c.number(3) < 2*4096 // of the index
		}
		rest, ours := strings.CutPrefix(c.target(), h.disk.path)
		if !ours || !started {
			continue
		}
		parts := strings.Split(rest, "/")
		kind := fmt.Sprint(len(parts), parts[min(2, len(parts)-1)], meta && strings.HasSuffix(rest, ".db"))
		syncs[kind] = append(syncs[kind], i)
	}
	return syncs
}

// trace runs a process in the folder to its end and returns its calls.
func (h *history) trace(t *testing.T, inject ...string) []call {
	t.Helper()
	h.processes++
	env := []string{fmt.Sprintf("BERTH_TEST_SEED=%d", 10*h.seed+uint64(h.processes)), fmt.Sprintf("%s=%d", commitsEnv, h.commits)}
	if len(inject) > 0 {
		env = append(env, failEnv+"=1")
	}
	return traced(t, filepath.Join(h.disk.path, "content"), env, inject...)
}

// replay does what a process did. It loses power after each commit, and nothing is there
// that was not synced; and in points other places in every weather.
func (h *history) replay(t *testing.T, calls []call, points int) {
	t.Helper()
	at := h.places(calls, points)
	begin := h.line
	for i, c := range calls {
		c.entered += begin
		c.left += begin
		h.line = c.left + 1
		if err := h.disk.do(c); err != nil {
			t.Fatal(err)
		}
		last := calls[max(0, i-30) : i+1]
		if line, ok := c.said(); ok {
			h.told.hear(line)
			if line[0] == '+' {
				h.lose(t, weathers(h.rand, c.left)[0], last)
			}
		}
		for range at[i] {
			for _, w := range weathers(h.rand, c.left) {
				h.lose(t, w, last)
			}
		}
	}
}

// places chooses after which of the calls power is lost in each weather, and how often:
// after all of the start, after some syncs and as many others.
func (h *history) places(calls []call, points int) map[int]int {
	var syncs, others []int
	at, started := map[int]int{}, false
	for i, c := range calls {
		_, said := c.said()
		started = started || said
		switch {
		case !c.mentions(h.disk.path) || c.name == "mmap":
		case !started:
			at[i] = 2
		case c.target() != "":
			syncs = append(syncs, i)
		default:
			others = append(others, i)
		}
	}
	for _, places := range [][]int{syncs, others} {
		h.rand.Shuffle(len(places), func(i, j int) { places[i], places[j] = places[j], places[i] })
		for _, i := range places[:min(len(places), points/2)] {
			at[i] = 1
		}
	}
	return at
}

// lose loses power now, and looks at what a start makes of the folder.
func (h *history) lose(t *testing.T, w *weather, last []call) {
	t.Helper()
	h.losses++
	dir := h.build(t, filepath.Join(memory(t), "disk"), w)
	defer func() {
		if t.Failed() {
			for _, c := range last {
				t.Log(c)
			}
			t.Fatalf("loss %d: %s", h.losses, w.kind)
		}
	}()
	wantIntact(t, filepath.Join(dir, "content"), h.told)
	if err := os.RemoveAll(filepath.Dir(dir)); err != nil {
		t.Fatal(err)
	}
}

// build makes the folder in dir as w leaves it.
func (h *history) build(t *testing.T, dir string, w *weather) string {
	t.Helper()
	if err := h.disk.root.write(dir, w); err != nil {
		t.Fatal(err)
	}
	return dir
}

// memory is a temporary folder that takes no time to sync, if there is one.
func memory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "berth-power-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// said is what c printed, if it did.
func (c call) said() (line string, ok bool) {
	if c.name != "write" || !strings.HasPrefix(c.args[0], "1<") {
		return "", false
	}
	line = strings.TrimSpace(string(c.text(1)))
	if line == "" {
		return "", false
	}
	_, err := digest.Parse(line[1:])
	return line, err == nil
}

// target is what c syncs, if it does.
func (c call) target() string {
	if !strings.HasSuffix(c.name, "sync") {
		return ""
	}
	return c.file(0)
}
