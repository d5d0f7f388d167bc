package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

const day = 24 * time.Hour

// parseDuration reads Go's syntax with whole days before it: 90s, 24h, 30d, 1d12h. It
// returns what is wrong, in words for a fault.
func parseDuration(s string) (d time.Duration, fault string) {
	switch {
	case strings.HasPrefix(s, "-"):
		return 0, fmt.Sprintf("%s is negative; write 0s or more", show(s))
	case s == "0":
		return 0, `"0" has no unit; write 0s`
	case s != "" && strings.Trim(s, "0123456789") == "":
		return 0, fmt.Sprintf("%s has no unit; write it with one, as in 90s, 15m, 24h or 30d", show(s))
	}
	days, rest, found := strings.Cut(s, "d")
	if !found {
		days, rest = "0", s
	}
	n, err := strconv.ParseUint(days, 10, 63)
	if err == nil && (rest != "" || !found) {
		d, err = time.ParseDuration(rest)
	}
	if err != nil || strings.ContainsAny(rest, "+-") {
		return 0, fmt.Sprintf("%s is no duration; write a number with a unit, such as 90s, 15m, 24h or 30d", show(s))
	}
	if n > uint64((math.MaxInt64-d)/day) {
		return 0, fmt.Sprintf("%s is too long; write at most 100000d", show(s))
	}
	return d + time.Duration(n)*day, ""
}

// duration reads a length of time of 0s or more.
func (v value) duration(into *time.Duration) bool {
	return v.span(into, `cannot be forever; write a duration, such as 60s or 24h`)
}

// durationOrForever reads a length of time or the word forever.
func (v value) durationOrForever(into *time.Duration) bool {
	return v.span(into, "")
}

// span reads a length of time; notForever is the fault that the word forever is, if any.
func (v value) span(into *time.Duration, notForever string) bool {
	var s string
	if v.node == nil {
		return true
	}
	if !v.word(&s) {
		return false
	}
	d, fault := Forever, notForever
	if s != "forever" {
		d, fault = parseDuration(s)
	}
	if fault != "" {
		return v.faultf("%s", fault)
	}
	*into = d
	return true
}
