package proxy

import (
	"context"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/berth-cache/berth/catalog"
	"github.com/berth-cache/berth/pull"
)

// Puller answers pulls. *pull.Puller is one. Every error is a *pull.Error or the
// context's; whoever gets a Blob closes its Reader.
type Puller interface {
	Manifest(ctx context.Context, q pull.Query) (*pull.Manifest, error)
	Blob(ctx context.Context, q pull.Query) (*pull.Blob, error)
	Tags(ctx context.Context, q pull.Query, page pull.TagPage) (*pull.TagList, error)
	Referrers(ctx context.Context, q pull.Query, query string) (*pull.Referrers, error)
}

var _ Puller = (*pull.Puller)(nil)

// Options are what a Handler is made of. Catalog and Puller are required.
type Options struct {
	Catalog *catalog.Catalog
	Puller  Puller
	// Logger gets what goes wrong, Access one line a request; nil is silent.
	Logger  *slog.Logger
	Access  *AccessLog
	Metrics *Metrics
	// Instance is what this Berth is called in CDN-Loop, from NewInstance.
	Instance string
	// WriteStall is how long a client may take no byte before it is given up; 0 is a minute.
	// A server whose WriteTimeout is no longer than that spares small answers timers of
	// their own.
	WriteStall time.Duration
}

// Handler serves the distribution API.
type Handler struct {
	catalog *catalog.Catalog
	puller  Puller
	logger  *slog.Logger
	access  *AccessLog
	metrics *Metrics
	stall   time.Duration

	instance string
}

var _ http.Handler = (*Handler)(nil)

// New returns a Handler.
func New(o Options) *Handler {
	h := &Handler{catalog: o.Catalog, puller: o.Puller, logger: o.Logger, access: o.Access, metrics: o.Metrics, stall: o.WriteStall, instance: o.Instance}
	if h.logger == nil {
		h.logger = slog.New(slog.DiscardHandler)
	}
	if h.metrics == nil {
		h.metrics = NewMetrics(nil)
	}
	if h.stall == 0 {
		h.stall = time.Minute
	}
	return h
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w := &response{ResponseWriter: rw, stall: h.stall, began: time.Now(), kind: kindInvalid, timed: h.timed(r), streamed: r.ProtoMajor == 2}
	defer h.finish(w, r)
	header := w.Header()
	header[keyNoSniff], header[keySandbox] = noSniff, sandbox

	req, err := parse(r)
	if err == nil {
		w.kind = req.kind
		err = h.serve(w, r, req)
	}
	if err != nil {
		h.fail(w, r, err)
	}
	w.settle()
}

// timed tells whether the server limits how long an answer may take as we would. Over HTTP/2
// it leaves that to us.
func (h *Handler) timed(r *http.Request) bool {
	s, ok := r.Context().Value(http.ServerContextKey).(*http.Server)
	return ok && r.ProtoMajor == 1 && s.WriteTimeout > 0 && s.WriteTimeout <= h.stall
}

// serve routes a request and answers it.
func (h *Handler) serve(w *response, r *http.Request, req request) error {
	var through []string
	if lines := r.Header[keyLoop]; lines != nil {
		var err error
		if through, err = h.through(r, lines); err != nil {
			return err
		}
	}
	route, err := h.catalog.Snapshot().Route(catalog.Query{
		Host: r.Host, Namespace: req.namespace, Name: req.name, Ping: req.kind == kindPing,
	})
	if err != nil {
		return err
	}
	w.registry, w.repository = route.Registry.Name, route.Repository
	if route.Namespace != "" {
		w.Header().Set("OCI-Namespace", route.Namespace)
	}
	w.hint = officialHint(route)
	w.reference = req.tag + string(req.digest)
	q := pull.Query{Route: route, Tag: req.tag, Digest: req.digest, Head: req.head, Through: through}
	switch req.kind {
	case kindManifest:
		return h.manifest(w, r, q)
	case kindBlob:
		return h.blob(w, r, q)
	}
	w.Header()[keyAPIVersion] = apiVersion
	switch req.kind {
	case kindPing:
		return pong(w, r)
	case kindTags:
		return h.tags(w, r, req, q)
	default:
		return h.referrers(w, r, req, q)
	}
}

// officialHint is for who asks for "alpine" the way they do at Docker Hub, where the name
// is short for library/alpine. In a walk it is not: other upstreams have an "alpine" too.
func officialHint(route catalog.Route) string {
	if strings.Contains(route.Repository, "/") || len(route.Candidates) == 1 {
		return ""
	}
	for _, u := range route.Candidates {
		if u.DockerHub() {
			return "; Docker Hub's official image of that name is library/" + route.Repository
		}
	}
	return ""
}

// pong answers a ping: that this is a registry, and, where a path stands before /v2/, that the
// path leads to one.
func pong(w *response, r *http.Request) error {
	w.outcome = "ping"
	w.values.set(w.Header(), keyCacheStatus, "berth; hit")
	return writeBody(w, r, "application/json", []byte("{}"))
}

// writeBody answers 200 with a body that is in memory.
func writeBody(w *response, r *http.Request, mediaType string, body []byte) error {
	w.values.set(w.Header(), keyContentType, mediaType)
	w.values.set(w.Header(), keyContentLength, strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return nil
	}
	_, err := w.Write(body)
	w.clientError = err
	return nil
}
