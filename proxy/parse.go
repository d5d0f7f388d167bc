package proxy

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
)

// kind is what a request is for.
type kind string

const (
	kindPing      kind = "ping"
	kindManifest  kind = "manifest"
	kindBlob      kind = "blob"
	kindTags      kind = "tags"
	kindReferrers kind = "referrers"
	kindInvalid   kind = "invalid" // not parsed; for metrics and the log
)

// request is a request of the distribution API, its every part valid.
type request struct {
	kind kind
	// name is the repository as the client named it; for a ping what stood before /v2/.
	name string
	// tag or digest of a manifest; digest of a blob and of referrers.
	tag    string
	digest digest.Digest
	// namespace is the ns parameter.
	namespace string
	// query is the raw query without ns, for referrers.
	query string
	// n and last page a tag list; n is -1 when absent.
	n    int
	last string
	head bool
}

const (
	// maxName is what clients take, host included; more cannot be pulled anyway.
	maxName  = 255
	maxTag   = 128
	maxQuery = 4096
)

// parse reads a request, or returns the *apiError to answer with.
func parse(r *http.Request) (request, error) {
	req := request{n: -1, head: r.Method == http.MethodHead}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return req, errMethod
	}
	if r.ContentLength != 0 {
		return req, errBody
	}
	path := r.URL.EscapedPath()
	if strings.Contains(path, "%") {
		// Of all that could be escaped only the colon of a digest belongs in a path.
		path = strings.NewReplacer("%3A", ":", "%3a", ":").Replace(path)
		if strings.Contains(path, "%") {
			return req, invalid(codeNameInvalid, "the path holds an escape that is in no name, tag or digest")
		}
	}
	if err := req.parsePath(path); err != nil {
		return req, err
	}
	return req, req.parseQuery(r.URL.RawQuery)
}

// parsePath reads /v2/<name>/<kind>/<reference>. A path that a client puts before /v2/, as
// newer Docker daemons do with a mirror's, is the beginning of the name.
func (q *request) parsePath(path string) error {
	before, rest, ok := strings.Cut(path, "/v2/")
	if !ok {
		before, ok = strings.CutSuffix(path, "/v2")
	}
	if !ok || strings.HasSuffix(rest, "/") {
		return errNoAPI
	}
	before = strings.TrimPrefix(before, "/")
	if rest == "" {
		q.kind, q.name = kindPing, before
		if before != "" && !validName(before) {
			return invalidName(before)
		}
		return nil
	}
	if before != "" {
		rest = before + "/" + rest
	}
	name, reference, err := q.split(rest)
	if err != nil {
		return err
	}
	if !validName(name) {
		return invalidName(name)
	}
	q.name = name
	return q.parseReference(reference)
}

// split cuts what follows /v2/ into a name and a reference, and sets the kind.
func (q *request) split(rest string) (name, reference string, err error) {
	if rest == "_catalog" || strings.HasSuffix(rest, "/_catalog") {
		return "", "", errCatalog
	}
	if name, ok := strings.CutSuffix(rest, "/tags/list"); ok {
		q.kind = kindTags
		return name, "", nil
	}
	i := strings.LastIndexByte(rest, '/')
	if i < 0 {
		return "", "", errNoAPI
	}
	head, reference := rest[:i], rest[i+1:]
	i = strings.LastIndexByte(head, '/')
	if i < 0 {
		return "", "", errNoAPI
	}
	switch head[i+1:] {
	case "manifests":
		q.kind = kindManifest
	case "blobs":
		q.kind = kindBlob
	case "referrers":
		q.kind = kindReferrers
	default:
		return "", "", errNoAPI
	}
	return head[:i], reference, nil
}

func (q *request) parseReference(reference string) error {
	switch {
	case q.kind == kindTags:
		return nil
	case q.kind == kindManifest && !strings.Contains(reference, ":"):
		if !validTag(reference) {
			return invalidTag(reference)
		}
		q.tag = reference
		return nil
	}
	if !validDigest(reference) {
		return invalidDigest(reference)
	}
	q.digest = digest.Digest(reference)
	return nil
}

func (q *request) parseQuery(raw string) error {
	if raw == "" {
		return nil
	}
	if len(raw) > maxQuery {
		return invalid(codeUnsupported, "the query is longer than %d bytes", maxQuery)
	}
	values, err := url.ParseQuery(raw)
	if err != nil {
		return invalid(codeUnsupported, "the query cannot be read: escape what is not a letter or digit")
	}
	ns := values["ns"]
	if len(slices.Compact(ns)) > 1 {
		return invalid(codeNameInvalid, "ns is given more than once, with different hosts")
	}
	if len(ns) > 0 {
		if q.namespace = ns[0]; q.namespace == "" {
			return invalid(codeNameInvalid, "ns is empty: name an upstream's host or leave it out")
		}
	}
	switch q.kind {
	case kindTags:
		return q.parsePage(values)
	case kindReferrers:
		parts := slices.DeleteFunc(strings.Split(raw, "&"), func(p string) bool {
			name, _, _ := strings.Cut(p, "=")
			name, err := url.QueryUnescape(name)
			return err == nil && name == "ns"
		})
		q.query = strings.Join(parts, "&")
	}
	return nil
}

func (q *request) parsePage(values url.Values) error {
	if values.Has("n") {
		text := values.Get("n")
		if !isDigits(text) {
			return invalid(codeUnsupported, "n is not a number of tags: give 0 or more")
		}
		n, err := strconv.Atoi(text)
		if err != nil { // out of range: as much as there is
			n = 1 << 30
		}
		q.n = n
	}
	q.last = values.Get("last") // a tag, or a cursor of the upstream's own that our Link repeated
	return nil
}

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}
