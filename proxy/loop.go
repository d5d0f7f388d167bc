package proxy

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

const (
	// keyLoop is CDN-Loop (RFC 8586), which names the caches that a request came through, as
	// net/http keeps it. docs/decisions.md says why not Via.
	keyLoop = "Cdn-Loop"
	// maxChain is how many Berths may stand one behind another, this one included. Replicas
	// behind one name that leads back to it are found by this, if not by their own.
	maxChain = 5
	// maxLoopBytes is more than maxChain Berths and a few CDNs take.
	maxLoopBytes = 1 << 10

	instancePrefix = "berth-"
	instanceBytes  = 8
)

// NewInstance returns a name by which a Berth knows itself in CDN-Loop. It is random: an
// address or a name may be shared.
func NewInstance() string {
	var b [instanceBytes]byte
	rand.Read(b[:])
	return instancePrefix + hex.EncodeToString(b[:])
}

// IsInstance tells whether s has the form of what NewInstance returns.
func IsInstance(s string) bool {
	digits, ok := strings.CutPrefix(s, instancePrefix)
	return ok && len(digits) == 2*instanceBytes && strings.Trim(digits, "0123456789abcdef") == ""
}

// through returns the Berths that a request with these lines of CDN-Loop came through, or the
// *apiError of one that goes round in a circle. What else the lines hold is nobody's concern.
func (h *Handler) through(r *http.Request, lines []string) ([]string, error) {
	text := strings.Join(lines, ",")
	if len(text) > maxLoopBytes {
		return nil, looped("CDN-Loop is longer than that of any request that gets somewhere")
	}
	var chain []string
	for member := range strings.SplitSeq(text, ",") {
		member, _, _ = strings.Cut(member, ";")
		if member = strings.Trim(member, " \t"); IsInstance(member) {
			chain = append(chain, member)
		}
	}
	if h.instance != "" {
		switch i := slices.Index(chain, h.instance); {
		case i < 0:
		case i == len(chain)-1:
			return nil, looped("this Berth asks itself: take the upstream at %q out of its configuration", clip(r.Host))
		default:
			return nil, looped("this Berth has asked already, and was led back to itself by %d more: take out of the configuration of the last one the upstream at %q, "+
				"or out of ours the one that leads there", len(chain)-1-i, clip(r.Host))
		}
	}
	if len(chain) >= maxChain {
		return nil, looped("the request came through %d Berths, and %d may stand one behind another: if one of them leads back, take that upstream out of its configuration", len(chain), maxChain)
	}
	return chain, nil
}

func looped(format string, args ...any) error {
	return &apiError{status: http.StatusLoopDetected, code: codeUnsupported, message: fmt.Sprintf(format, args...), outcome: "loop"}
}
