package upstream

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrTooLarge says that an answer's body exceeds the limit for its kind.
var ErrTooLarge = errors.New("answer is larger than allowed")

// ErrStalled says that no byte of a body arrived for the stall timeout.
var ErrStalled = errors.New("upstream stopped sending")

// ErrClosed says that the Client has been closed.
var ErrClosed = errors.New("client closed")

// Class is what an answer that is not the content means.
type Class int

const (
	// NotHere means that the upstream says it does not have it.
	NotHere Class = iota + 1
	// Denied means that the upstream refuses it to us, while our credential is good or none is
	// configured. It may or may not exist; for us it is not here.
	Denied
	// Refused means that the credential which is configured was refused. Nothing is known about the
	// content.
	Refused
	// Limited means too many requests.
	Limited
	// Looped means that the upstream is, or leads to, a cache that has asked already. Nothing is
	// known about the content.
	Looped
	// Unavailable is everything else; nothing is known about the content.
	Unavailable
)

// String is the class in lower case, as logs and metrics name it.
func (c Class) String() string {
	switch c {
	case NotHere:
		return "not_here"
	case Denied:
		return "denied"
	case Refused:
		return "refused"
	case Limited:
		return "limited"
	case Looped:
		return "looped"
	case Unavailable:
		return "unavailable"
	default:
		return fmt.Sprintf("class(%d)", int(c))
	}
}

// Error is every error of Client.Do.
type Error struct {
	// Upstream is the upstream's configured name.
	Upstream string
	// Op is the request, e.g. "GET manifest library/alpine:3".
	Op    string
	Class Class
	// Status is the HTTP status that decided, 0 when there was none.
	Status int
	// Code is the registry's error code if it gave one, e.g. MANIFEST_UNKNOWN.
	Code string
	// Message is one short printable line without secrets, fit to show a client.
	Message string
	// RetryAfter is how long the upstream wants to be left alone; set for Limited.
	RetryAfter time.Duration
	// Limit is what there was too much of; set for Limited.
	Limit Limit
	// HTML: the answer was a web page, so a portal or a firewall may have written it.
	HTML bool
	// Repository: the repository is meant, not the reference alone.
	Repository bool
	// Err is the cause, if there is one beyond the answer.
	Err error
}

// Error is the whole story for a log: "upstream dhi: GET manifest python:3: <message>".
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "upstream %s: %s: %s", e.Upstream, e.Op, e.Message)
	if e.Code != "" && !strings.Contains(e.Message, e.Code) {
		fmt.Fprintf(&b, " (%s)", e.Code)
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

var _ error = (*Error)(nil)
