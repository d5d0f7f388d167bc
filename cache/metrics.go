package cache

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/berth-cache/berth/cache/store"
)

// Metrics counts fills and trouble with the state. A nil *Metrics counts nothing.
type Metrics struct {
	running, connections     prometheus.Gauge
	started, joined, resumed prometheus.Counter
	failed, stateErrors      *prometheus.CounterVec
	unstored, damaged        *prometheus.CounterVec
	segments                 *prometheus.CounterVec
	scrubbed                 prometheus.Counter
	lastRound                prometheus.Gauge
}

// NewMetrics registers the metrics of this package with r; usage tells what the store
// holds, such as store.Store's Usage, and may be nil.
func NewMetrics(r prometheus.Registerer, usage func() store.Usage) *Metrics {
	factory := promauto.With(r)
	// counted starts each of its counts at zero, so that the first step can be seen.
	counted := func(name, help, label string, values ...string) *prometheus.CounterVec {
		vec := factory.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
		for _, value := range values {
			vec.WithLabelValues(value)
		}
		return vec
	}
	if usage != nil {
		factory.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "berth_content_bytes", Help: "Bytes of content held.",
		}, func() float64 { return float64(usage().Bytes) })
		factory.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "berth_content_objects", Help: "Objects held.",
		}, func() float64 { return float64(usage().Objects) })
	}
	return &Metrics{
		running: factory.NewGauge(prometheus.GaugeOpts{
			Name: "berth_fills_running", Help: "Fills that are fetching or committing; paused ones are not.",
		}),
		started: factory.NewCounter(prometheus.CounterOpts{
			Name: "berth_fills_started_total", Help: "Fills begun.",
		}),
		joined: factory.NewCounter(prometheus.CounterOpts{
			Name: "berth_fills_joined_total", Help: "Requests that joined a fill another one began.",
		}),
		resumed: factory.NewCounter(prometheus.CounterOpts{
			Name: "berth_fills_resumed_total", Help: "Sources opened again at the offset reached, after a break or a pause.",
		}),
		failed: counted("berth_fills_failed_total", "Fills that kept nothing, by reason.", "reason",
			reasonSource, reasonDigest, reasonLength, reasonStore, reasonAbandoned),
		connections: factory.NewGauge(prometheus.GaugeOpts{
			Name: "berth_fill_connections", Help: "Connections that fills fetch over, the first of each included.",
		}),
		segments: counted("berth_fill_segments_total", "Segments asked for of large content, by how that ended.", "result",
			segmentDone, segmentRefused, segmentBroken, segmentSlow, segmentStopped),
		stateErrors: counted("berth_state_errors_total", "Calls of the state that went wrong, which pulls do without.", "op",
			opRead, opWrite, opDelete, opScan),
		unstored: counted("berth_unstored_pulls_total", "Answers whose content was passed on without being kept, by what was wrong with the store.", "reason",
			reasonFull, reasonTooLarge, reasonReadOnly, reasonFiles, reasonOther),
		damaged: counted("berth_damaged_objects_total", "Objects that were damaged and dropped, by how that was found.", "found_by",
			foundByOpen, foundByRead, foundByScrub),
		scrubbed: factory.NewCounter(prometheus.CounterOpts{
			Name: "berth_scrubbed_bytes_total", Help: "Bytes of content that were read again and found whole.",
		}),
		lastRound: factory.NewGauge(prometheus.GaugeOpts{
			Name: "berth_scrub_last_round_timestamp_seconds", Help: "When all content had been read again last; 0 is never.",
		}),
	}
}

// The reasons of berth_fills_failed_total.
const (
	reasonSource    = "source"
	reasonDigest    = "digest"
	reasonLength    = "length"
	reasonStore     = "store"
	reasonAbandoned = "abandoned"
)

// How berth_damaged_objects_total says that damage was found.
const (
	foundByOpen  = "open"
	foundByRead  = "read"
	foundByScrub = "scrub"
)

// The operations of berth_state_errors_total. What is read and makes no sense is opDecode
// in the log, and counts as opRead.
const (
	opRead   = "read"
	opDecode = "decode"
	opWrite  = "write"
	opDelete = "delete"
	opScan   = "scan"
)

// The results of berth_fill_segments_total.
const (
	segmentDone    = "done"
	segmentRefused = "refused" // not answered with what was asked for
	segmentBroken  = "broken"  // in the middle
	segmentSlow    = "slow"    // taken away, as nothing came
	segmentStopped = "stopped" // the fill paused or ended
)

// reasonOf classes the error that ended a fill.
func reasonOf(err error) string {
	switch {
	case errors.Is(err, ErrMismatch):
		return reasonDigest
	case errors.Is(err, ErrLength):
		return reasonLength
	case errors.Is(err, ErrStore):
		return reasonStore
	case errors.Is(err, errAbandoned), errors.Is(err, ErrClosed), errors.Is(err, context.Canceled):
		return reasonAbandoned
	}
	return reasonSource
}

func (m *Metrics) start() {
	if m != nil {
		m.started.Inc()
	}
}

func (m *Metrics) join() {
	if m != nil {
		m.joined.Inc()
	}
}

func (m *Metrics) resume() {
	if m != nil {
		m.resumed.Inc()
	}
}

// run changes how many fills run by n.
func (m *Metrics) run(n float64) {
	if m != nil {
		m.running.Add(n)
	}
}

// connect changes how many connections fills have by n.
func (m *Metrics) connect(n float64) {
	if m != nil {
		m.connections.Add(n)
	}
}

func (m *Metrics) segment(result string) {
	if m != nil {
		m.segments.WithLabelValues(result).Inc()
	}
}

func (m *Metrics) fail(err error) {
	if m != nil {
		m.failed.WithLabelValues(reasonOf(err)).Inc()
	}
}

// pass counts a pull that goes on unstored because of err.
func (m *Metrics) pass(err error) {
	if m != nil {
		m.unstored.WithLabelValues(storeReason(err)).Inc()
	}
}

func (m *Metrics) damage(by string) {
	if m != nil {
		m.damaged.WithLabelValues(by).Inc()
	}
}

func (m *Metrics) scrub(bytes int64) {
	if m != nil {
		m.scrubbed.Add(float64(bytes))
	}
}

// scrubRound tells when a round was complete; the zero time is never.
func (m *Metrics) scrubRound(done time.Time) {
	if m != nil && !done.IsZero() {
		m.lastRound.Set(float64(done.Unix()))
	}
}

func (m *Metrics) stateError(op string) {
	if m == nil {
		return
	}
	if op == opDecode {
		op = opRead
	}
	m.stateErrors.WithLabelValues(op).Inc()
}
