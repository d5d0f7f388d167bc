package state

import (
	"context"
	"errors"
	"fmt"
)

const (
	// scanNames and scanBytes bound one step of a Scan, during which Redis serves
	// nobody else: about a millisecond.
	scanNames = 256
	scanBytes = 1 << 20
)

var errScanReply = errors.New("scan: unexpected reply")

// Scan implements [Store]. It is made of steps, so that writes may come in between.
func (r *Redis) Scan(ctx context.Context, rng Range) ([]Entry, error) {
	if err := checkRange(rng); err != nil {
		return nil, fmt.Errorf("scan: %w", err)
	}
	var entries []Entry
	lower, upper := lexBounds(rng)
	for len(entries) < rng.Limit {
		names := min(scanNames, rng.Limit-len(entries))
		step, err := r.scanStep(ctx, lower, upper, names)
		if err != nil {
			return nil, fmt.Errorf("scan %q: %w", rng.Prefix, err)
		}
		entries = append(entries, step.entries...)
		if step.last == "" {
			break
		}
		lower = "(" + step.last
	}
	return entries, nil
}

type scanStep struct {
	// last is the last name that was looked at, empty at the end.
	last    string
	entries []Entry
}

func (r *Redis) scanStep(ctx context.Context, lower, upper string, names int) (scanStep, error) {
	return call(ctx, r, func(ctx context.Context) (scanStep, error) {
		reply, err := scanScript.Run(ctx, r.client, []string{r.setKey()},
			r.prefix, lower, upper, names, scanBytes).StringSlice()
		if err != nil {
			return scanStep{}, err
		}
		if len(reply)%2 != 1 {
			return scanStep{}, errScanReply
		}
		step := scanStep{last: reply[0]}
		for found := reply[1:]; len(found) > 0; found = found[2:] {
			step.entries = append(step.entries, Entry{Key: found[0], Value: []byte(found[1])})
		}
		return step, nil
	})
}

// lexBounds gives the bounds of a range as ZRANGEBYLEX wants them: "[" includes, "("
// excludes, "-" and "+" are the ends.
func lexBounds(rng Range) (lower, upper string) {
	lower, upper = "-", "+"
	switch {
	case rng.After != "" && rng.After >= rng.Prefix:
		lower = "(" + rng.After
	case rng.Prefix != "":
		lower = "[" + rng.Prefix
	}
	if end := prefixEnd(rng.Prefix); end != "" {
		upper = "(" + end
	}
	return lower, upper
}

// prefixEnd returns the first string after all that start with prefix, empty if there is
// none. A prefix may end within a rune, so it goes by bytes.
func prefixEnd(prefix string) string {
	end := []byte(prefix)
	for len(end) > 0 {
		last := len(end) - 1
		if end[last] < 0xff {
			end[last]++
			return string(end)
		}
		end = end[:last]
	}
	return ""
}
