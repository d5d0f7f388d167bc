package main

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/berth-cache/berth/upstream/upstreamtest"
)

// round makes n programs, each of which has the next for its only upstream, and returns them
// with their folders.
func round(t *testing.T, n int) (berths []*process, folders []string) {
	t.Helper()
	for range n {
		folders = append(folders, t.TempDir())
		berths = append(berths, start(t, folders[len(folders)-1], ""))
	}
	for i, p := range berths {
		configure(t, folders[i], upstreamOf(berths[(i+1)%n].url, ""))
		p.reload(t, "applied")
	}
	return berths, folders
}

// TestLoopOfProcesses: whoever asks programs that go round in a circle is told, and berth
// check finds it.
func TestLoopOfProcesses(t *testing.T) {
	for name, test := range map[string]struct {
		n    int
		says string // of berth check
	}{
		"itself": {1, "\nhub: HOST: is this very Berth; take upstream hub out of the configuration\n"},
		"two": {2, "\nhub: HOST: leads back to a cache that has asked already (508 Loop Detected): " +
			"take upstream hub out of the configuration here, or what leads back out of that of HOST\n"},
	} {
		t.Run(name, func(t *testing.T) {
			berths, folders := round(t, test.n)
			var all sync.WaitGroup
			for _, p := range berths {
				for range 10 {
					all.Go(func() {
						status, body, err := p.get(p.url + "/v2/app/manifests/1")
						if err != nil || status != http.StatusLoopDetected || !strings.Contains(string(body), "take upstream hub out of the configuration") {
							t.Errorf("%d %s, %v", status, body, err)
						}
					})
				}
			}
			all.Wait()
			for i, folder := range folders {
				got := runs(t, "check", "--config", folder+"/berth.yaml")
				if got.Status != 3 || !strings.HasSuffix(unspaced(got.Out), test.says) {
					t.Errorf("check %d: %d\n%s\n%s", i, got.Status, got.Out, got.Errors)
				}
			}
		})
	}
}

// TestCheckOfABerthBehindABerth: one that does not lead back is an upstream like any other,
// and is asked for one thing that no upstream has.
func TestCheckOfABerthBehindABerth(t *testing.T) {
	hub := upstreamtest.New(t)
	far := start(t, t.TempDir(), upstreamOf(hub.Start(t), ""))
	path := configure(t, t.TempDir(), upstreamOf(far.url, ""))
	if got := runs(t, "check", "--config", path); got.Status != 0 {
		t.Errorf("%d\n%s\n%s", got.Status, got.Out, got.Errors)
	}
	if diff := cmp.Diff([]string{"HEAD manifest berth-check:loop"}, hub.Requests()); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}
