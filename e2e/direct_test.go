package e2e_test

import (
	"testing"

	"github.com/berth-cache/berth/e2e/client"
	"github.com/berth-cache/berth/e2e/image"
)

// TestDirect pulls straight from a registry: where this fails, the client or this machine
// is at fault and not Berth.
func TestDirect(t *testing.T) {
	t.Parallel()
	for _, program := range client.Programs() {
		t.Run(program.Name, func(t *testing.T) {
			t.Parallel()
			require(t, program)
			w := upstreams(t)
			c := program.New(t, client.Setup{Direct: w.hub.Addr(), Mirror: w.hub.URL()})
			for _, tc := range pullCases[program.Name] {
				if tc.prefix != "docker.io/" {
					tc.prefix = w.hub.Addr() + "/"
				}
				want := image.New(t, tc.kind, "direct-"+lastElement(tc.repository))
				w.hub.Push(t, tc.repository+":1", want.Index)
				pullAndCompare(t, c, tc.prefix+tc.repository+":1", want)
				pullAndCompare(t, c, tc.prefix+tc.repository+"@"+want.Digest, want)
			}
		})
	}
}
