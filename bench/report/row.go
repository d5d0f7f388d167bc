package report

import (
	"math"

	"github.com/berth-cache/berth/bench/stat"
)

// Unit is how a column's values are written.
type Unit string

// The units; values are in the base unit that each names.
const (
	Seconds Unit = "seconds"
	Bytes   Unit = "bytes"
	PerCPU  Unit = "1/CPU s" // things per second of processor time
	Rate    Unit = "1/s"
	Times   Unit = "times"
	Count   Unit = "count"
)

// Column is one thing that is measured.
type Column struct {
	Key   string `json:"key"`
	Title string `json:"title"`
	Unit  Unit   `json:"unit"`
	// Against are contenders to show the ratio to.
	Against []string `json:"against,omitempty"`
}

// Sample is one measurement: values by column key. What could not be measured is not in it.
type Sample map[string]float64

// Set adds a value, unless it is none.
func (s Sample) Set(key string, value float64) {
	if !math.IsNaN(value) && !math.IsInf(value, 0) {
		s[key] = value
	}
}

// Contender is what one contender did in a row.
type Contender struct {
	Name string `json:"name"`
	// Rounds has one sample for each round that was measured; a round in which the
	// contender failed has an empty one.
	Rounds []Sample `json:"rounds,omitempty"`
	// Notes say what was out of the ordinary, and why the contender is missing.
	Notes []string `json:"notes,omitempty"`
}

// values are those of one column in the rounds that have it.
func (c Contender) values(key string) []float64 {
	var all []float64
	for _, s := range c.Rounds {
		if v, ok := s[key]; ok {
			all = append(all, v)
		}
	}
	return all
}

// ratios are of one column to that of other, round by round.
func (c Contender) ratios(other Contender, key string) []float64 {
	var a, b []float64
	for i := range min(len(c.Rounds), len(other.Rounds)) {
		x, ok := c.Rounds[i][key]
		y, too := other.Rounds[i][key]
		if ok && too {
			a, b = append(a, x), append(b, y)
		}
	}
	return stat.Ratios(a, b)
}

// Row is what came of one row.
type Row struct {
	Name       string      `json:"name"`
	Title      string      `json:"title"`
	Columns    []Column    `json:"columns"`
	Contenders []Contender `json:"contenders"`
	Verdicts   []Verdict   `json:"verdicts,omitempty"`
	// Failed says why the row could not be measured at all.
	Failed string `json:"failed,omitempty"`
}

// contender finds one by name; a missing one has no samples.
func (r Row) contender(name string) Contender {
	for _, c := range r.Contenders {
		if c.Name == name {
			return c
		}
	}
	return Contender{Name: name}
}
