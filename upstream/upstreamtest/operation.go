package upstreamtest

import (
	"net/http"
	"strings"

	"github.com/opencontainers/go-digest"
)

const (
	kindManifest  = "manifest"
	kindBlob      = "blob"
	kindTags      = "tags"
	kindReferrers = "referrers"
	kindToken     = "token"
	kindStorage   = "storage"
	kindOther     = "other"
)

const pingPath = "/v2/"

// operation is what a request wants.
type operation struct {
	kind       string
	repository string
	reference  string // a tag or a digest; for kindOther the path
}

func parse(q *http.Request) operation {
	path := q.URL.Path
	if tokenPaths[path] {
		return operation{kind: kindToken}
	}
	if d, ok := strings.CutPrefix(path, "/storage/"); ok {
		return operation{kind: kindStorage, reference: d}
	}
	if rest, ok := strings.CutPrefix(path, "/v2/"); ok {
		if name, ok := strings.CutSuffix(rest, "/tags/list"); ok {
			return operation{kind: kindTags, repository: name}
		}
		for _, kind := range []string{kindManifest, kindBlob, kindReferrers} {
			segment := "/" + strings.TrimSuffix(kind, "s") + "s/"
			if i := strings.LastIndex(rest, segment); i > 0 {
				return operation{kind: kind, repository: rest[:i], reference: rest[i+len(segment):]}
			}
		}
	}
	return operation{kind: kindOther, reference: path}
}

// line is the request's entry in the record.
func (o operation) line(q *http.Request) string {
	var b strings.Builder
	b.WriteString(q.Method + " " + o.kind + " " + o.repository)
	switch {
	case o.kind == kindToken:
		scope := strings.Join(q.URL.Query()["scope"], " ")
		if scope == "" {
			scope = "-"
		}
		b.WriteString(scope)
	case o.kind == kindStorage:
		b.WriteString(Short(digest.Digest(o.reference)))
	case o.repository == "":
		b.WriteString(o.reference)
	case strings.Contains(o.reference, ":"):
		b.WriteString("@" + Short(digest.Digest(o.reference)))
	case o.reference != "":
		b.WriteString(":" + o.reference)
	}
	if q.URL.RawQuery != "" && o.kind != kindToken && o.kind != kindStorage {
		b.WriteString("?" + q.URL.RawQuery)
	}
	if rng := q.Header.Get("Range"); rng != "" {
		b.WriteString(" " + rng)
	}
	return b.String()
}
