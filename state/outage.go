package state

import (
	"errors"
	"strings"

	"github.com/redis/go-redis/v9"
)

// outage is what the engine answers when Redis did not do what it was asked. It has the
// cause's text but does not wrap it: the cause may be a deadline of ours, which callers
// must not take for their own, and may quote the credentials.
type outage struct {
	text string
	// down says that Redis as a whole is out, not this one command.
	down bool
}

func (o *outage) Error() string { return ErrUnavailable.Error() + ": " + o.text }

func (o *outage) Unwrap() error { return ErrUnavailable }

// newOutage makes an outage of an error of go-redis. Every one is an outage: the scripts
// and keys are our own, so an error reply too is the server's state (read only, out of
// memory, no permission), and callers must carry on without.
func newOutage(err error, password string) *outage {
	return &outage{text: redact(err.Error(), password), down: isDown(err)}
}

func isDown(err error) bool {
	if errors.Is(err, redis.ErrPoolTimeout) {
		return false // many callers, which says nothing of the server
	}
	if _, replied := errors.AsType[redis.Error](err); !replied {
		return true
	}
	return redis.IsAuthError(err) || redis.IsLoadingError(err) || redis.IsMaxClientsError(err) ||
		redis.IsClusterDownError(err) || redis.IsMasterDownError(err)
}

// redact removes the password from text. A server that lacks a command quotes the
// arguments it got, cut at some length, so that a part of the password may be left.
func redact(text, password string) string {
	if password == "" {
		return text
	}
	text, _, _ = strings.Cut(text, ", with args beginning with")
	return strings.ReplaceAll(text, password, "***")
}
