package pull

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/berth-cache/berth/cache"
	"github.com/berth-cache/berth/catalog"
)

// pointed is what a tag points to at one upstream.
type pointed struct {
	from    *catalog.Upstream
	pointer cache.Pointer
}

// counts tells whether at is an answer for who is asking registry, and others before at's
// upstream. It is not where somebody named that one, or asked another registry, and one
// before it may have the tag: that one's answer, or illness, comes first.
func (at pointed) counts(registry *catalog.Registry, before []*catalog.Upstream) bool {
	return slices.Contains(at.pointer.Registries, registry.Name) || at.behind(before)
}

// behind tells whether all of before are known not to have what at has.
func (at pointed) behind(before []*catalog.Upstream) bool {
	return !slices.ContainsFunc(before, func(u *catalog.Upstream) bool { return !slices.Contains(at.pointer.Ahead, u.ID) })
}

// resolved is a tag that has been found.
type resolved struct {
	pointed
	outcome Outcome
	detail  string
	body    []byte // the manifest, when it came along
}

func (at pointed) age() time.Duration { return max(0, time.Since(at.pointer.Checked)) }

// aheadBound is how far the clock of another replica may be ahead of ours.
const aheadBound = time.Minute

// ahead tells whether the check was noted by a clock that was wrong: how long ago it was is
// not known, so that it confirms nothing.
func (at pointed) ahead() bool { return time.Until(at.pointer.Checked) > aheadBound }

// signature tells whether tag is one that cosign and others push what refers to a digest
// under: sha256-<hex>, with .sig and the like behind it.
func signature(tag string) bool {
	return strings.HasPrefix(tag, "sha256-") || strings.HasPrefix(tag, "sha512-")
}

// fresh tells whether the tag may be served without asking.
func (at pointed) fresh(tag string) bool {
	validity := at.from.Validity
	if signature(tag) {
		validity = at.from.ListValidity // signatures, attestations: a list in a tag's clothes
	}
	return validity == catalog.Forever || !at.ahead() && at.age() < validity
}

// stale is at as it is served when err kept us from checking it, or false if it is too old
// for that or err says that it is gone.
func (at pointed) stale(err error) (resolved, bool) {
	if at.from == nil {
		return resolved{}, false
	}
	bound, detail := at.from.MaxStale, "unconfirmed"
	if e, ok := errors.AsType[*Error](err); ok {
		if e.gone {
			return resolved{}, false
		}
		switch e.Reason {
		case NotFound, Denied:
			return resolved{}, false
		case Refused:
			bound, detail = at.from.MaxStaleRefused, "credential-refused"
		case Limited:
			detail = "upstream-limited"
		case Looped:
			detail = "upstream-loop"
		case Unavailable:
			detail = "upstream-unavailable"
		}
	}
	return resolved{pointed: at, outcome: Stale, detail: detail}, bound == catalog.Forever || at.age() <= bound
}
