package cache

import "time"

const (
	// sampleEvery is how often the rate of a fill is looked at. Two looks that more or less
	// agree are a measurement.
	sampleEvery = 125 * time.Millisecond
	// minGain is how many times as fast one more connection must make a fill to stay.
	minGain = 1.15
	// maxLoss is how much of a rate must be left for two looks to agree.
	maxLoss = 0.6
	// worthwhile is how much time a fill must have before it for one more connection.
	worthwhile = time.Second
)

// pacer decides over how many connections a fill runs, by what each of them brought.
type pacer struct {
	// connections is how many there are, most how many there may be.
	connections, most int
	// rate is what was measured last, in bytes per second; best what it was with one
	// connection fewer, 0 with the first.
	rate, best float64
	// settled: one more was tried and did not help.
	settled bool

	// Of the last sample: when, how many bytes had come, and how fast since the one before.
	at     time.Time
	bytes  int64
	recent float64
	// samples is how many there were since the number of connections changed.
	samples int
}

func newPacer(most int, bytes int64) *pacer {
	return &pacer{connections: 1, most: most, at: time.Now(), bytes: bytes}
}

// sample takes into account how many bytes have come and are left, and tells whether to
// add a connection. If it says so best is what the next one is held against.
func (p *pacer) sample(now time.Time, bytes, left int64) bool {
	elapsed := now.Sub(p.at).Seconds()
	if elapsed <= 0 {
		return false
	}
	before := p.recent
	p.recent = float64(bytes-p.bytes) / elapsed
	p.at, p.bytes = now, bytes
	p.samples++
	if p.samples < 2 || p.recent > before*minGain || p.recent < before*maxLoss {
		return false // getting faster by itself, as connections do at first, or just throttled
	}
	p.rate = (before + p.recent) / 2
	if p.best > 0 && p.rate < p.best*minGain && !p.settled {
		p.settled = true
		p.connections--
	}
	p.best = 0
	if p.settled || p.connections >= p.most || p.rate*worthwhile.Seconds() > float64(left) {
		return false
	}
	return p.rate > 0
}

// added tells that one more connection delivers from now on.
func (p *pacer) added(now time.Time, bytes int64) {
	p.connections++
	p.best = p.rate
	p.at, p.bytes, p.recent, p.samples = now, bytes, 0, 0
}
