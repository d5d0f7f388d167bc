package pull

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/berth-cache/berth/cache"
	"github.com/berth-cache/berth/catalog"
	"github.com/berth-cache/berth/upstream"
)

const (
	// checkBound is how long a check of something we hold may keep a client waiting:
	// connecting, token and every candidate together. Then the copy is served.
	checkBound = 4 * time.Second
	// ailingBound is the same while the upstream is known to be ill.
	ailingBound = 25 * time.Millisecond
	// askBound ends work that no upstream timeout ended; blobs are bound by progress.
	askBound = 5 * time.Minute
)

// Upstream is one remote registry, as the Client of a catalog.Upstream. *upstream.Client is
// one.
type Upstream interface {
	// Do returns an *upstream.Error for every answer but 200 and 206. The caller closes
	// the Response's Body, which ctx bounds.
	Do(ctx context.Context, r upstream.Request) (*upstream.Response, error)
	// Ailing tells whether asking is likely to bring nothing, or nothing soon.
	Ailing() bool
}

var _ Upstream = (*upstream.Client)(nil)

// Options are what a Puller is made of. All but Logger and Metrics are required.
type Options struct {
	Contents *cache.Contents
	Index    *cache.Index
	Logger   *slog.Logger
	Metrics  *Metrics
}

// Puller answers pulls. Its methods are safe for concurrent use.
type Puller struct {
	contents *cache.Contents
	index    *cache.Index
	logger   *slog.Logger
	metrics  *Metrics

	absences *absences
	alarms   *alarms
	limits   *limits
	lanes    *lanes

	tags      *flights[resolved]
	manifests *flights[*Manifest]
	blobs     *flights[*located]
	lists     *flights[listing]
	work      *work
}

// New returns a Puller. It does no IO; Close it when no request uses it any more.
func New(o Options) *Puller {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics(nil)
	}
	w := newWork()
	return &Puller{
		contents: o.Contents, index: o.Index,
		logger: o.Logger, metrics: o.Metrics,
		absences: newAbsences(), alarms: newAlarms(), limits: newLimits(), lanes: newLanes(),
		tags: newFlights[resolved](w), manifests: newFlights[*Manifest](w),
		blobs: newFlights[*located](w), lists: newFlights[listing](w),
		work: w,
	}
}

// Close ends the checks and fetches that go on behind and waits for them. Fills belong to
// the Contents.
func (p *Puller) Close() {
	p.work.close()
	p.absences.close()
	p.alarms.close()
}

// Query names one thing that a client asks for: a manifest by Tag or by Digest, a blob by
// Digest.
type Query struct {
	Route  catalog.Route
	Tag    string
	Digest digest.Digest
	// Head wants no body, and so costs no upstream GET where that can be avoided.
	Head bool
	// Through are the caches that the request came through, in order.
	Through []string
}

// subject is what the query is for, as messages name it.
func (q Query) subject() string {
	switch {
	case q.Tag != "":
		return q.Route.Repository + ":" + q.Tag
	case q.Digest != "":
		return q.Route.Repository + "@" + q.Digest.String()
	}
	return q.Route.Repository
}

// key is what two queries share when one answer serves both: not with one that asks with a
// login, or within limits, that have been changed since. Those that came through as many
// caches as each other wait for one another, and no others do: an upstream that is such a
// cache is asked by one that came through more, so that nobody waits for himself.
func (q Query) key(more ...string) string {
	parts := []string{q.Route.Registry.Name}
	for _, u := range q.Route.Candidates {
		parts = append(parts, u.ID, strconv.Itoa(u.Epoch))
	}
	parts = append(parts, q.Route.Repository, q.Tag, q.Digest.String())
	if q.Head {
		parts = append(parts, "head")
	}
	if n := len(q.Through); n > 0 {
		parts = append(parts, "through "+strconv.Itoa(n))
	}
	return strings.Join(append(parts, more...), "|")
}

// at is the query's repository at an upstream, as the cache knows it.
func (q Query) at(u *catalog.Upstream) cache.Repository {
	return cache.Repository{Upstream: u.ID, Name: q.Route.Repository}
}
