package load

import (
	"slices"
	"time"

	"github.com/berth-cache/berth/bench/stat"
)

// maxFaults is how many different faults are kept in words.
const maxFaults = 5

// Result is what came of a plan.
type Result struct {
	// Requests and Bytes (of bodies) are those that came back as they should.
	Requests int64 `json:"requests"`
	Bytes    int64 `json:"bytes"`
	// Failed is how many requests, or pulls, did not; Faults says of some why.
	Failed int64    `json:"failed"`
	Faults []string `json:"faults,omitempty"`
	// Wall is from the first request to the last answer.
	Wall time.Duration `json:"wall"`
	// Latency is of single requests, or of whole pulls.
	Latency Latency `json:"latency"`
	// FirstByte is from a pull's begin to the first byte of a layer.
	FirstByte Latency `json:"first_byte"`
}

// Latency sums up many durations.
type Latency struct {
	Median time.Duration `json:"median"`
	P99    time.Duration `json:"p99"`
	Max    time.Duration `json:"max"`
}

func latencyOf(all []time.Duration) Latency {
	slices.Sort(all)
	return Latency{stat.Percentile(all, 0.5), stat.Percentile(all, 0.99), stat.Percentile(all, 1)}
}

// tally is what one goroutine of a run counted.
type tally struct {
	requests, bytes, failed int64
	faults                  []string
	latencies, firstBytes   []time.Duration
}

func (t *tally) fail(err error) {
	t.failed++
	if text := err.Error(); len(t.faults) < maxFaults && !slices.Contains(t.faults, text) {
		t.faults = append(t.faults, text)
	}
}

// sum adds tallies up. It sorts what they hold.
func sum(tallies []tally, wall time.Duration) Result {
	r := Result{Wall: wall}
	var latencies, firstBytes []time.Duration
	for _, t := range tallies {
		r.Requests += t.requests
		r.Bytes += t.bytes
		r.Failed += t.failed
		latencies = append(latencies, t.latencies...)
		firstBytes = append(firstBytes, t.firstBytes...)
		for _, fault := range t.faults {
			if len(r.Faults) < maxFaults && !slices.Contains(r.Faults, fault) {
				r.Faults = append(r.Faults, fault)
			}
		}
	}
	r.Latency, r.FirstByte = latencyOf(latencies), latencyOf(firstBytes)
	return r
}
