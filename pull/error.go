package pull

import (
	"fmt"
	"strings"
	"time"

	"github.com/berth-cache/berth/cache"
)

// Reason is why a pull cannot be answered.
type Reason int

const (
	// NotFound: every upstream that may have it was asked and none has it.
	NotFound Reason = iota + 1
	// Denied: none has it for us, and none says for certain that it does not exist.
	Denied
	// Refused: the upstream that it belongs to refuses us: the configured credential, or a
	// repository that it gave before.
	Refused
	// Limited: the upstream that it belongs to wants fewer requests.
	Limited
	// Looped: the upstream that it belongs to, or may, is or leads to a cache that has asked
	// already, which may be ours.
	Looped
	// Unavailable: the upstream that it belongs to, or may, could not be asked.
	Unavailable
)

// Answer is what one upstream said.
type Answer struct {
	// Upstream is the configured name.
	Upstream string
	// Said is one line for a person.
	Said string
}

// Error says why a pull cannot be answered, and what every upstream that was asked said.
type Error struct {
	Reason Reason
	// Subject is what was asked for, e.g. "library/alpine:3".
	Subject string
	Answers []Answer
	// Repository: it is the repository that is not there, not the reference alone.
	Repository bool
	// RetryAfter is when it is worth asking again; zero when unknown.
	RetryAfter time.Duration

	gone bool // the upstream that a tag came from says that it is there no more
}

// ill says that the upstream has it, or may, and that something is wrong with it or with
// our login.
func (e *Error) ill() bool {
	return !e.gone && e.Reason != NotFound && e.Reason != Denied
}

// Is makes what may be otherwise soon, while a fill that has begun waits, a cache.ErrUnavailable.
func (e *Error) Is(target error) bool {
	return target == cache.ErrUnavailable && e.RetryAfter <= cache.MaxOutage &&
		(e.Reason == Unavailable || e.Reason == Limited && e.RetryAfter > 0)
}

// Error is a sentence fit to show a client, e.g.
// "library/foo:1 not found: docker-hub: no such repository; quay: not found".
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Subject)
	switch e.Reason {
	case NotFound:
		b.WriteString(" not found")
	case Denied:
		b.WriteString(" not found, or not allowed to us")
	case Refused:
		b.WriteString(" cannot be fetched: the upstream that it belongs to refuses us")
	case Limited:
		b.WriteString(" cannot be fetched: the upstream limits requests")
	case Looped:
		b.WriteString(" cannot be fetched: caches ask each other in a circle")
	case Unavailable:
		b.WriteString(" cannot be fetched now")
	}
	sep := ": "
	for _, a := range e.Answers {
		fmt.Fprintf(&b, "%s%s: %s", sep, a.Upstream, a.Said)
		sep = "; "
	}
	return b.String()
}
