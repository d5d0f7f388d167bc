package store_test

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// TestSyncFailure has some of a process's syncs fail. What was committed all the same is
// there, also after a loss of power that takes what those syncs were for; a start after it
// works, and finds nothing partial and nothing left over. With BERTH_SOAK=1 there are ten such
// processes; -v prints figures.
func TestSyncFailure(t *testing.T) {
	needStrace(t)
	histories, points := 2, 30
	if os.Getenv(soakEnv) == "1" {
		histories, points = 10, 200
	}
	for seed := range histories {
		t.Run(strconv.Itoa(seed), func(t *testing.T) {
			t.Parallel()
			h := newHistory(t, uint64(seed))
			h.commits = 40
			// Counted in each thread: the first ones are the start's.
			calls := h.trace(t, "fsync,fdatasync:error=EIO:when=9+"+strconv.Itoa(5+seed))
			h.replay(t, calls, points)
			wantIntact(t, filepath.Join(h.disk.path, "content"), h.told)
			if h.told.failures == 0 || h.told.commits == 0 || h.told.evictions == 0 {
				t.Errorf("%d commits, %d failed, %d evictions: too few to tell anything", h.told.commits, h.told.failures, h.told.evictions)
			}
			var f figures
			f.add(h)
			t.Logf("%d commits failed; %v", h.told.failures, f)
		})
	}
}
