package pull_test

import (
	"testing"

	"github.com/berth-cache/berth/pull"
)

// The text goes to whoever pulls, so it names what was asked for and what each said.
func TestErrorText(t *testing.T) {
	answers := []pull.Answer{{Upstream: "hub", Said: "no such repository"}, {Upstream: "quay", Said: "not found"}}
	rows := []struct {
		name string
		err  pull.Error
		want string
	}{
		{"not found", pull.Error{Reason: pull.NotFound, Answers: answers}, "app:1 not found: hub: no such repository; quay: not found"},
		{"denied", pull.Error{Reason: pull.Denied, Answers: answers[:1]}, "app:1 not found, or not allowed to us: hub: no such repository"},
		{"refused", pull.Error{Reason: pull.Refused, Answers: answers[:1]}, "app:1 cannot be fetched: the upstream that it belongs to refuses us: hub: no such repository"},
		{"limited", pull.Error{Reason: pull.Limited}, "app:1 cannot be fetched: the upstream limits requests"},
		{"looped", pull.Error{Reason: pull.Looped}, "app:1 cannot be fetched: caches ask each other in a circle"},
		{"unavailable", pull.Error{Reason: pull.Unavailable}, "app:1 cannot be fetched now"},
	}
	for _, row := range rows {
		row.err.Subject = "app:1"
		if got := row.err.Error(); got != row.want {
			t.Errorf("%s: %q, want %q", row.name, got, row.want)
		}
	}
}
