package cache

import (
	"math"
	"slices"
)

// span is a stretch of content: the bytes from from up to, but not with, to.
type span struct{ from, to int64 }

// spans are stretches of one content, in order; they neither touch nor overlap.
type spans []span

// add takes s in.
func (l *spans) add(s span) {
	if s.from >= s.to {
		return
	}
	// Those from first up to last touch s or overlap it.
	first := l.search(s.from - 1)
	last := first
	for ; last < len(*l) && (*l)[last].from <= s.to; last++ {
		s.from, s.to = min(s.from, (*l)[last].from), max(s.to, (*l)[last].to)
	}
	*l = slices.Replace(*l, first, last, s)
}

// remove takes s out.
func (l *spans) remove(s span) {
	if s.from >= s.to {
		return
	}
	first := l.search(s.from)
	last := first
	var rest []span
	for ; last < len(*l) && (*l)[last].from < s.to; last++ {
		cut := (*l)[last]
		if cut.from < s.from {
			rest = append(rest, span{cut.from, s.from})
		}
		if cut.to > s.to {
			rest = append(rest, span{s.to, cut.to})
		}
	}
	*l = slices.Replace(*l, first, last, rest...)
}

// end returns where the span that has the byte at pos ends, or pos if none has.
func (l spans) end(pos int64) int64 {
	if i := l.search(pos); i < len(l) && l[i].from <= pos {
		return l[i].to
	}
	return pos
}

// gap returns the first stretch from pos on that none has.
func (l spans) gap(pos int64) span {
	pos = l.end(pos)
	if i := l.search(pos); i < len(l) {
		return span{pos, l[i].from}
	}
	return span{pos, math.MaxInt64}
}

// bytes is how many bytes they have together.
func (l spans) bytes() int64 {
	var n int64
	for _, s := range l {
		n += s.to - s.from
	}
	return n
}

// search returns the index of the first span that ends after pos.
func (l spans) search(pos int64) int {
	i, _ := slices.BinarySearchFunc(l, pos, func(s span, pos int64) int {
		if s.to <= pos {
			return -1
		}
		return 1
	})
	return i
}
