package row

import (
	"fmt"
	"slices"
	"time"

	"github.com/berth-cache/berth/bench/contender"
	"github.com/berth-cache/berth/bench/report"
	"github.com/berth-cache/berth/bench/upstream"
)

// All are the rows of the budgets, in order, at a scale.
func All(s Scale) []Row {
	return []Row{
		warmRow("manifest-get", fmt.Sprintf("warm manifest GET by tag, %d connections", s.Connections), 0.75, warm{method: "GET"}),
		warmRow("manifest-head", fmt.Sprintf("warm manifest HEAD by tag, %d connections", s.Connections), 0.75, warm{method: "HEAD"}),
		warmRow("small-blob", fmt.Sprintf("warm blob of 111 B, %d connections", s.Connections), 0.6, warm{method: "GET", layers: []int64{111}}),
		largeRow(s), coldRow(s), crowdRow(s), mobRow(s), throttledRow(s), unthrottledRow(s), heldRow(s), evictionRow(s),
	}
}

var (
	servers = []string{contender.Floor, contender.Nginx, contender.Distribution, contender.Berth}
	pullers = []string{contender.Direct, contender.Nginx, contender.Distribution, contender.Berth}

	failed       = report.Column{Key: "failed", Title: "failed", Unit: report.Count}
	peakRSS      = report.Column{Key: "peak", Title: "peak RSS", Unit: report.Bytes}
	p99          = report.Column{Key: "p99", Title: "p99", Unit: report.Seconds}
	upstreamPart = report.Column{Key: "upstream", Title: "upstream bytes ×", Unit: report.Times}
)

func warmRow(name, title string, part float64, w warm) Row {
	return Row{
		Name: name, Title: title, contenders: servers,
		columns: []report.Column{
			{Key: "per_cpu", Title: "requests/CPU s", Unit: report.PerCPU, Against: []string{contender.Floor, contender.Nginx}},
			{Key: "rate", Title: "requests/s", Unit: report.Rate},
			p99,
		},
		budgets: []report.Budget{{Column: "per_cpu", Sense: report.AtLeast, Limit: part, Against: contender.Floor}},
		measure: w.measure,
	}
}

func largeRow(s Scale) Row {
	w := warm{method: "GET", layers: slices.Repeat([]int64{s.Layer}, s.Layers), large: true}
	return Row{
		Name: "large-blob", Title: fmt.Sprintf("warm blobs of %s, %d connections", size(s.Layer), s.Streams), contenders: servers,
		columns: []report.Column{
			{Key: "bytes_per_cpu", Title: "B/CPU s", Unit: report.PerCPU, Against: []string{contender.Floor, contender.Nginx}},
			{Key: "bytes_rate", Title: "B/s", Unit: report.Rate},
		},
		budgets: []report.Budget{{Column: "bytes_per_cpu", Sense: report.AtLeast, Limit: 0.95, Against: contender.Floor}},
		measure: w.measure,
	}
}

func coldRow(s Scale) Row {
	c := cold{upstream.Conditions{Latency: 2 * time.Millisecond, BytesPerSecond: 200e6}, slices.Repeat([]int64{s.Layer}, s.Layers), 1}
	return Row{
		Name: "cold", contenders: pullers, measure: c.measure,
		Title: fmt.Sprintf("cold pull of %d layers of %s, one client, upstream 2 ms away at 200 MB/s a connection", s.Layers, size(s.Layer)),
		columns: []report.Column{
			{Key: "last", Title: "pulled in", Unit: report.Seconds, Against: []string{contender.Direct, contender.Nginx}},
			upstreamPart, failed,
		},
		budgets: []report.Budget{{Column: "last", Sense: report.AtMost, Limit: 1.05, Against: contender.Direct}},
	}
}

func crowdRow(s Scale) Row {
	c := cold{upstream.Conditions{Latency: 30 * time.Millisecond, BytesPerSecond: 40e6}, slices.Repeat([]int64{s.Layer}, s.Layers), s.Crowd}
	return Row{
		Name: "crowd", contenders: pullers, measure: c.measure,
		Title: fmt.Sprintf("%d clients at once, one cold image of %d layers of %s, upstream 30 ms away at 40 MB/s a connection", s.Crowd, s.Layers, size(s.Layer)),
		columns: []report.Column{
			upstreamPart,
			{Key: "last", Title: "last client", Unit: report.Seconds, Against: []string{contender.Nginx}},
			{Key: "first_byte", Title: "first byte", Unit: report.Seconds, Against: []string{contender.Nginx}},
			failed,
		},
		budgets: []report.Budget{
			// 1.00 as it is printed: an answer's retried end may count twice.
			{Column: "upstream", Sense: report.AtMost, Limit: 1.004},
			{Column: "last", Sense: report.AtMost, Limit: 1, Against: contender.Nginx},
			{Column: "first_byte", Sense: report.AtMost, Limit: 0.3, Against: contender.Nginx},
		},
	}
}

func mobRow(s Scale) Row {
	c := cold{upstream.Conditions{Latency: 2 * time.Millisecond, BytesPerSecond: 200e6}, []int64{s.Layer}, s.Mob}
	return Row{
		Name: "mob", contenders: pullers, measure: c.measure,
		Title: fmt.Sprintf("%d clients at once, one cold image of %s, upstream 2 ms away at 200 MB/s a connection", s.Mob, size(s.Layer)),
		columns: []report.Column{
			failed,
			{Key: "last", Title: "last client", Unit: report.Seconds, Against: []string{contender.Nginx}},
			peakRSS, upstreamPart,
		},
		budgets: []report.Budget{
			{Column: "failed", Sense: report.AtMost, Limit: 0},
			{Column: "peak", Sense: report.AtMost, Limit: 100 << 20},
		},
	}
}

func throttledRow(s Scale) Row {
	c := cold{upstream.Conditions{Latency: 20 * time.Millisecond, BytesPerSecond: 50e6}, []int64{s.Huge}, 1}
	r := hugeRow(c)
	r.Name = "throttled"
	r.Title = fmt.Sprintf("cold pull of one layer of %s, upstream 20 ms away at 50 MB/s a connection", size(s.Huge))
	r.budgets = []report.Budget{{Column: "last", Sense: report.AtMost, Limit: 0.5, Against: contender.Direct}}
	return r
}

func unthrottledRow(s Scale) Row {
	r := hugeRow(cold{upstream.Conditions{Latency: 20 * time.Millisecond}, []int64{s.Huge}, 1})
	r.Name = "unthrottled"
	r.Title = fmt.Sprintf("cold pull of one layer of %s, upstream 20 ms away without a limit", size(s.Huge))
	r.budgets = []report.Budget{{Column: "last", Sense: report.AtMost, Limit: 1.05, Against: contender.BerthOne}}
	return r
}

func hugeRow(c cold) Row {
	return Row{
		contenders: append(slices.Clone(pullers), contender.BerthOne), measure: c.measure,
		columns: []report.Column{
			{Key: "last", Title: "pulled in", Unit: report.Seconds, Against: []string{contender.Direct, contender.Nginx, contender.BerthOne}},
			upstreamPart, peakRSS, failed,
		},
	}
}

func heldRow(s Scale) Row {
	return Row{
		Name: "held", measure: held{}.measure,
		Title:      fmt.Sprintf("%d objects held, %d of them in use, %d connections", s.Objects, s.Hot, hotConnections),
		contenders: []string{contender.Nginx, contender.Berth},
		absent:     map[string]string{contender.Distribution: "at its pace the filling takes hours"},
		columns: []report.Column{
			{Key: "start", Title: "start", Unit: report.Seconds},
			{Key: "anon", Title: "anonymous RSS", Unit: report.Bytes},
			p99,
			{Key: "p99_empty", Title: "p99 empty", Unit: report.Seconds},
			{Key: "p99_ratio", Title: "p99 × empty", Unit: report.Times},
			{Key: "fill", Title: "CPU/object filled", Unit: report.Seconds},
		},
		budgets: []report.Budget{
			{Column: "start", Sense: report.AtMost, Limit: 2},
			{Column: "anon", Sense: report.AtMost, Limit: 200 << 20},
			{Column: "p99_ratio", Sense: report.AtMost, Limit: 1.2},
		},
	}
}

func evictionRow(s Scale) Row {
	few := max(s.Objects/100, 50)
	return Row{
		Name: "eviction", measure: eviction{}.measure,
		Title:      fmt.Sprintf("CPU time to evict one object from a cache of %d and of %d", few, 10*few),
		contenders: []string{contender.Nginx, contender.Berth},
		absent:     map[string]string{contender.Distribution: "it evicts by age alone"},
		columns: []report.Column{
			{Key: "few", Title: fmt.Sprintf("of %d", few), Unit: report.Seconds},
			{Key: "many", Title: fmt.Sprintf("of %d", 10*few), Unit: report.Seconds},
			{Key: "ratio", Title: "ratio", Unit: report.Times},
		},
		budgets: []report.Budget{{Column: "ratio", Sense: report.AtMost, Limit: 1.2}},
	}
}

// size writes a round number of bytes.
func size(n int64) string {
	if n%(1<<20) == 0 {
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d KiB", n>>10)
}
