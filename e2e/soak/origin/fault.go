package origin

import (
	"maps"
	"math/rand/v2"
	"sync"
)

// Fault is a way to spoil an answer.
type Fault string

// The faults. Cuts and stalls are somewhere in the body.
const (
	Delay     Fault = "slow first byte"
	Slow      Fault = "slow body"
	Early     Fault = "cut before the header"
	Cut       Fault = "cut in the body"
	Stall     Fault = "stall in the body"
	Corrupt   Fault = "wrong byte"
	Short     Fault = "length too small"
	Long      Fault = "length too large"
	Portal    Fault = "200 with a web page"
	Internal  Fault = "500"
	Ill       Fault = "503"
	Limited   Fault = "429"
	TokenIll  Fault = "token service 503"
	TokenGone Fault = "all tokens expired"
	Down      Fault = "upstream stopped"
)

// Mood is how likely each fault is, from 0 to 1.
type Mood map[Fault]float64

// Moods are the storms of a soak. What they do together is in the first, and one by one,
// harder, in the others.
var Moods = []Mood{
	{Delay: .05, Slow: .02, Early: .02, Cut: .05, Stall: .01, Corrupt: .02, Short: .01, Long: .01, Portal: .01, Internal: .02, Ill: .02, TokenIll: .05, TokenGone: .005},
	{Cut: .5, Early: .1},
	{Corrupt: .2, Short: .1, Long: .1, Portal: .1},
	{Internal: .3, Ill: .3},
	{Limited: .005, Delay: .1},
	{Delay: .3, Slow: .1, Stall: .05},
	{TokenIll: .5, TokenGone: .05},
	{Down: 1},
}

// faults draws faults and counts them.
type faults struct {
	// mu guards what is below.
	mu     sync.Mutex
	random *rand.Rand
	mood   Mood
	counts map[Fault]int
}

// luck is what one request drew: a number for each decision, so that what happens to a
// request does not depend on how many faults there are.
type luck struct {
	faults *faults
	mood   Mood
	where  float64
	draws  map[Fault]float64
}

func (f *faults) draw() luck {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := luck{faults: f, mood: f.mood, where: f.random.Float64(), draws: map[Fault]float64{}}
	for _, fault := range inOrder {
		l.draws[fault] = f.random.Float64()
	}
	return l
}

// inOrder are all faults, so that a seed draws the same ones each time.
var inOrder = []Fault{Delay, Slow, Early, Cut, Stall, Corrupt, Short, Long, Portal, Internal, Ill, Limited, TokenIll, TokenGone, Down}

// meets tells whether the fault happens, and counts it if so.
func (l luck) meets(fault Fault) bool {
	if l.draws[fault] >= l.mood[fault] {
		return false
	}
	l.faults.count(fault)
	return true
}

// one is the first of the faults that happens, "" if none does.
func (l luck) one(faults ...Fault) Fault {
	for _, fault := range faults {
		if l.meets(fault) {
			return fault
		}
	}
	return ""
}

func (f *faults) count(fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.counts[fault]++
}

func (f *faults) set(mood Mood) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mood = mood
}

func (f *faults) counted() map[Fault]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.counts)
}
