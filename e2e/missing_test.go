package e2e_test

import (
	"regexp"
	"testing"

	"github.com/berth-cache/berth/e2e/client"
)

// notFound is how clients put "there is no such image".
var notFound = regexp.MustCompile(`(?i)not found|manifest[ _]unknown|name[ _]unknown`)

// TestMissing pulls a name that no upstream has, and one below a host that nobody knows:
// the client must say so, and not that something is broken.
func TestMissing(t *testing.T) {
	t.Parallel()
	withEachClient(t, func(t *testing.T, w *world, _ string, c client.Client) {
		for _, repository := range []string{"team/nowhere", "unknown.test/team/nowhere"} {
			got, err := pull(t, c, w.Addr()+"/"+repository+":1")
			if err == nil {
				t.Fatalf("%s: got %+v, want an error", repository, got)
			}
			if !notFound.MatchString(err.Error()) {
				t.Errorf("%s: the client does not say that there is no such image: %v", repository, err)
			}
		}
	})
}
