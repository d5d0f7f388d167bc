package store

import (
	"encoding/binary"
	"testing"
)

// key is the nth of many, all in one part.
func key(n int) []byte {
	k := make([]byte, 33)
	k[0] = 1
	binary.BigEndian.PutUint64(k[20:], uint64(n))
	return k
}

// TestNoteIsCheap: every hit comes along here.
func TestNoteIsCheap(t *testing.T) {
	u, k := newUses(), key(0)
	u.note(k, 1, 0)
	if got := testing.AllocsPerRun(100, func() { u.note(k, 2, 0) }); got != 0 {
		t.Errorf("%g allocations", got)
	}
}

// TestNotesAreBounded, and those worth writing go last.
func TestNotesAreBounded(t *testing.T) {
	const hour = int64(3600 * 1e9)
	u := newUses()
	for n := range 10 * maxNoted {
		u.note(key(n), hour, hour-1)
	}
	if got := len(u.parts[0].noted); got != 2*maxNoted {
		t.Errorf("%d notes that are not worth writing", got)
	}
	for n := range 100 * maxNoted {
		u.note(key(1_000_000+n), hour, 0)
	}
	if got := len(u.parts[0].noted); got != 8*maxNoted {
		t.Errorf("%d notes", got)
	}
	due := u.due(hour, false)
	if len(due) != 6*maxNoted {
		t.Errorf("%d are due", len(due))
	}
	u.note(due[0].key, 2*hour, hour) // used again while they are written
	u.wrote(due)
	if got := u.last(due[0].key); got != 2*hour {
		t.Errorf("a use meanwhile: %d", got)
	}
	if got := u.last(due[1].key); got != 0 {
		t.Errorf("a use that was written: %d", got)
	}
	if got := len(u.parts[0].noted); got != 1 {
		t.Errorf("%d notes are left", got)
	}
	// What is not worth writing is kept as long as it matters.
	u.note(due[1].key, 2*hour, 2*hour-1)
	u.due(2*hour, false)
	if got := len(u.parts[0].noted); got != 2 {
		t.Errorf("%d notes are left", got)
	}
	u.due(2*hour+int64(useResolution), false)
	if got := len(u.parts[0].noted); got != 1 {
		t.Errorf("%d notes are left ten minutes later", got)
	}
}
