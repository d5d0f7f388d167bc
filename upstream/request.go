package upstream

import (
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/opencontainers/go-digest"
)

// Kind is what a Request asks for.
type Kind int

// The kinds of request that the pull half of the distribution API has.
const (
	KindManifest Kind = iota
	KindBlob
	KindTags
	KindReferrers
)

// String is the kind in lower case, as metrics and errors name it.
func (k Kind) String() string {
	switch k {
	case KindManifest:
		return "manifest"
	case KindBlob:
		return "blob"
	case KindTags:
		return "tags"
	case KindReferrers:
		return "referrers"
	default:
		return fmt.Sprintf("kind(%d)", int(k))
	}
}

// Request is one question to the registry. The names in it have been validated by whoever
// parsed them; they are escaped here all the same.
type Request struct {
	// Method is GET or HEAD.
	Method string
	Kind   Kind
	// Repository is the name at the upstream, e.g. library/alpine.
	Repository string
	// Reference is a tag or a digest; empty for KindTags.
	Reference string
	// Query is the raw query of a tag or referrers list, without "?".
	Query string
	// Offset is the first byte wanted of a blob; Length is how many, 0 or -1 for all
	// that follow. Other kinds ignore both. With a Length the request has a TCP connection
	// of its own, and is not repeated when it fails.
	Offset, Length int64
	// Check: whoever asks holds an answer already, so that others go first where requests
	// queue.
	Check bool
	// Through are the caches that the request came through for which this one is made, in
	// order, as CDN-Loop names them.
	Through []string
}

// Response is an answer of status 200 or 206.
type Response struct {
	Status int
	// Digest is the Docker-Content-Digest if it is a valid sha256 or sha512, else empty.
	// It is a claim, not proof.
	Digest digest.Digest
	// MediaType is the Content-Type without parameters, in lower case.
	MediaType string
	// ETag is without quotes and weakness, so that it can be compared.
	ETag string
	// Size is that of the whole content in bytes, -1 when unknown.
	Size int64
	// Offset is where Body starts: what was asked for, or less. It is 0 when the registry
	// ignored the range.
	Offset int64
	// NoRanges: the registry said that it knows none (Accept-Ranges: none).
	NoRanges bool
	// Next is the raw query of the list's next page, empty on the last. Pages that are
	// elsewhere than at the same path of the same host are not followed.
	Next string
	// FiltersApplied is OCI-Filters-Applied.
	FiltersApplied string
	// Body is never nil and has to be closed. Its Read fails when the upstream breaks, when
	// no byte came for the stall timeout, and with ErrTooLarge past the limit for all but
	// blobs. For HEAD it is http.NoBody.
	Body io.ReadCloser
}

// IsPull tells whether the request is what pulls are counted by.
func (r Request) IsPull() bool { return r.Kind == KindManifest && r.Method == http.MethodGet }

// op names the request in errors, e.g. "GET manifest library/alpine:3".
func (r Request) op() string {
	s := r.Method + " " + r.Kind.String() + " " + r.Repository
	switch {
	case r.Reference == "":
	case isDigest(r.Reference):
		s += "@" + r.Reference
	default:
		s += ":" + r.Reference
	}
	return s
}

// path is the request's below the upstream's root, unescaped.
func (r Request) path() string {
	base := "/v2/" + r.Repository
	switch r.Kind {
	case KindManifest:
		return base + "/manifests/" + r.Reference
	case KindBlob:
		return base + "/blobs/" + r.Reference
	case KindTags:
		return base + "/tags/list"
	default:
		return base + "/referrers/" + r.Reference
	}
}

// url is where at the upstream the request goes.
func (r Request) url(base *url.URL) *url.URL {
	u := url.URL{Scheme: base.Scheme, Host: base.Host, Path: r.path()}
	if r.Kind == KindTags || r.Kind == KindReferrers {
		u.RawQuery = r.Query
	}
	return &u
}

// rangeHeader is the Range header, empty when the whole content is wanted.
func (r Request) rangeHeader() string {
	switch {
	case r.Kind != KindBlob || r.Method != http.MethodGet:
		return ""
	case r.Length > 0:
		return fmt.Sprintf("bytes=%d-%d", r.Offset, r.Offset+r.Length-1)
	case r.Offset > 0:
		return fmt.Sprintf("bytes=%d-", r.Offset)
	default:
		return ""
	}
}
