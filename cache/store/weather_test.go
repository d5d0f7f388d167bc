package store_test

import "math/rand/v2"

// fate is what becomes of an effect that was not synced.
type fate int

const (
	lost fate = iota
	whole
	torn
)

// weather decides what a loss of power leaves of what was not synced.
type weather struct {
	kind  string
	rand  *rand.Rand
	bytes func(e *effect) fate
	name  func(e *effect) bool
}

// weathers are three losses of power at the line now:
//
//   - nothing is there that was not synced.
//   - names are there up to some moment, in the order in which they were given, as a
//     journal keeps them; of bytes any, torn between two sectors, whatever the names are.
//   - anything is there, of names as well: no file system is as bad, and none may be
//     needed that is better. A rename may be there in one folder and not in the other.
func weathers(r *rand.Rand, now int) []*weather {
	until := now
	if r.IntN(3) > 0 {
		until = r.IntN(now + 1)
	}
	any := func(e *effect) fate {
		if e.kept {
			return whole
		}
		return fate(r.IntN(3))
	}
	return []*weather{{
		kind: "nothing more", rand: r,
		bytes: func(e *effect) fate {
			if e.kept {
				return whole
			}
			return lost
		},
		name: func(e *effect) bool { return e.kept },
	}, {
		kind: "names in order", rand: r, bytes: any,
		name: func(e *effect) bool { return e.kept || e.at <= until },
	}, {
		kind: "anything", rand: r, bytes: any,
		name: func(e *effect) bool { return e.kept || r.IntN(2) == 0 },
	}}
}

// alive is no loss at all: what processes see.
func alive() *weather {
	return &weather{
		kind:  "alive",
		bytes: func(*effect) fate { return whole },
		name:  func(*effect) bool { return true },
	}
}
