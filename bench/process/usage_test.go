package process_test

import (
	"fmt"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/berth-cache/berth/bench/process"
)

// entry is what /proc has of one process.
func entry(table fstest.MapFS, pid int, stat, status string) {
	table[fmt.Sprintf("%d/stat", pid)] = &fstest.MapFile{Data: []byte(stat)}
	table[fmt.Sprintf("%d/status", pid)] = &fstest.MapFile{Data: []byte(status)}
}

// stat is the file of that name; the times are in hundredths of a second.
func stat(pid, parent int, name string, times [4]int) string {
	return fmt.Sprintf("%d (%s) S %d 1 1 0 -1 4194304 9 9 9 9 %d %d %d %d 20 0 3 0 77 1000 250\n",
		pid, name, parent, times[0], times[1], times[2], times[3])
}

func status(peak, anon int) string {
	return fmt.Sprintf("Name:\tx\nVmPeak:\t 99999 kB\nVmHWM:\t   %d kB\nRssAnon:\t  %d kB\nRssFile:\t 5 kB\n", peak, anon)
}

func TestUsageIsOfTheWholeTree(t *testing.T) {
	table := fstest.MapFS{"self/stat": {Data: []byte("no number")}, "uptime": {Data: []byte("1 1")}}
	entry(table, 1, stat(1, 0, "init", [4]int{900, 900, 900, 900}), status(9000, 9000))
	entry(table, 50, stat(50, 1, "nginx: master", [4]int{1, 2, 3, 4}), status(100, 10))
	entry(table, 7, stat(7, 50, "a) S 1 (b", [4]int{100, 0, 0, 0}), status(200, 20))
	entry(table, 8, stat(8, 7, "grandchild", [4]int{0, 100, 0, 0}), status(400, 40))
	entry(table, 9, stat(9, 8, "dead", [4]int{5, 0, 0, 0}), "Name:\tdead\nState:\tZ (zombie)\n")
	got, err := process.NewTable(table).Usage(50)
	if err != nil {
		t.Fatal(err)
	}
	want := process.Usage{CPU: 2150 * time.Millisecond, PeakRSS: 700 << 10, AnonRSS: 70 << 10}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestUsageTellsWhatItCannotRead(t *testing.T) {
	for name, c := range map[string]struct{ stat, status string }{
		"short stat":  {"50 (x) S 1 1\n", status(1, 1)},
		"bad status":  {stat(50, 1, "x", [4]int{}), "VmHWM:\t many kB\n"},
		"bad RssAnon": {stat(50, 1, "x", [4]int{}), "RssAnon:\t many kB\n"},
	} {
		t.Run(name, func(t *testing.T) {
			table := fstest.MapFS{}
			entry(table, 50, c.stat, c.status)
			if got, err := process.NewTable(table).Usage(50); err == nil {
				t.Errorf("got %+v", got)
			}
		})
	}
	if got, err := process.NewTable(fstest.MapFS{}).Usage(50); err == nil {
		t.Errorf("a process that is not there: %+v", got)
	}
}
