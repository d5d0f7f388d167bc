package load

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Ending is how an operation came out.
type Ending string

const (
	// Right: what had to come has come, all of it.
	Right Ending = "right"
	// Refused: an error that says that an upstream is in trouble.
	Refused Ending = "refused"
	// Cut: the connection broke, so that the client knows that something is missing.
	Cut Ending = "cut"
	// Unproven: part of a blob that was arriving was wrong, or its size was, as the upstream
	// had them. The client knows that it has a part and no more: the last byte never comes,
	// since the digest does not match. In calm weather that is as wrong as anything.
	Unproven Ending = "unproven"
	// Left: the client went away in the middle, as it meant to.
	Left Ending = "left"
	// Wrong: what must never happen.
	Wrong Ending = "wrong"
)

// endings is the order in which they are printed, the better ones first.
var endings = []Ending{Right, Left, Refused, Cut, Unproven, Wrong}

// worse is the later of two in that order.
func worse(a, b Ending) Ending {
	if slices.Index(endings, a) > slices.Index(endings, b) {
		return a
	}
	return b
}

// maxComplaints is how many things that went wrong are told in words.
const maxComplaints = 20

// Tally counts operations by kind and ending.
type Tally struct {
	// mu guards what is below.
	mu         sync.Mutex
	counts     map[string]map[Ending]int
	complaints []string
	wrong      int
	lost       int
}

// add counts an operation. In calm weather everything has to be right: what is not was
// lost.
func (t *Tally) add(kind string, o outcome, trouble bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.counts == nil {
		t.counts = map[string]map[Ending]int{}
	}
	if t.counts[kind] == nil {
		t.counts[kind] = map[Ending]int{}
	}
	t.counts[kind][o.ending]++
	switch {
	case o.ending == Wrong:
		t.wrong++
	case !trouble && o.ending == Unproven:
		t.wrong++
	case !trouble && (o.ending == Refused || o.ending == Cut):
		t.lost++
	default:
		return
	}
	if len(t.complaints) < maxComplaints {
		t.complaints = append(t.complaints, fmt.Sprintf("%s: %s: %s", kind, o.ending, o.detail))
	}
}

// Operations is how many there were.
func (t *Tally) Operations() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	total := 0
	for _, by := range t.counts {
		for _, n := range by {
			total += n
		}
	}
	return total
}

// Bad are the numbers of wrong answers, and of answers that were lost in calm weather, and
// words for some of them.
func (t *Tally) Bad() (wrong, lost int, complaints []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.wrong, t.lost, slices.Clone(t.complaints)
}

// String is a table of the counts.
func (t *Tally) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "%-24s", "operation")
	for _, e := range endings {
		fmt.Fprintf(&b, "%10s", e)
	}
	b.WriteByte('\n')
	sums := map[Ending]int{}
	row := func(name string, by map[Ending]int) {
		fmt.Fprintf(&b, "%-24s", name)
		for _, e := range endings {
			fmt.Fprintf(&b, "%10d", by[e])
		}
		b.WriteByte('\n')
	}
	for _, kind := range slices.Sorted(maps.Keys(t.counts)) {
		row(kind, t.counts[kind])
		for e, n := range t.counts[kind] {
			sums[e] += n
		}
	}
	row("all", sums)
	return b.String()
}
