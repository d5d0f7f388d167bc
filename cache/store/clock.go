package store

import "time"

// clock tells the time by which uses are ordered, in nanoseconds. It begins at the time of
// day, or behind the last use that was written if that is later, and then runs with the
// time that passes: however the machine's clock is set, a later use has a later time.
type clock struct {
	base  int64
	start time.Time
}

// newClock returns a clock that begins behind last.
func newClock(last int64) clock {
	start := time.Now()
	return clock{base: max(start.UnixNano(), last+1), start: start}
}

func (c clock) now() int64 { return c.base + int64(time.Since(c.start)) }
