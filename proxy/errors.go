package proxy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/berth-cache/berth/catalog"
	"github.com/berth-cache/berth/pull"
)

// The codes of the specification that a pull can end in, and UNAVAILABLE, which is not
// among them but which Docker's and Google's clients know as worth a retry.
const (
	codeBlobUnknown     = "BLOB_UNKNOWN"
	codeDigestInvalid   = "DIGEST_INVALID"
	codeManifestUnknown = "MANIFEST_UNKNOWN"
	codeNameInvalid     = "NAME_INVALID"
	codeNameUnknown     = "NAME_UNKNOWN"
	codeDenied          = "DENIED"
	codeUnsupported     = "UNSUPPORTED"
	codeTooMany         = "TOOMANYREQUESTS"
	codeUnavailable     = "UNAVAILABLE"
)

// apiError is an error as the client sees it.
type apiError struct {
	status  int
	code    string
	message string
	// detail is what each upstream said, if any was asked.
	detail []said
	// retryAfter is sent when it is positive.
	retryAfter time.Duration
	// outcome is the label in metrics and the log.
	outcome string
}

// retryLater is when it may be worth asking again for what an ill upstream has.
const retryLater = 5 * time.Second

type said struct {
	Upstream string `json:"upstream"`
	Said     string `json:"said"`
}

func (e *apiError) Error() string { return e.code + ": " + e.message }

var (
	errMethod = &apiError{
		status: http.StatusMethodNotAllowed, code: codeUnsupported, outcome: "invalid",
		message: "this is a cache to pull from, it takes GET and HEAD only: push to the registry itself",
	}
	errBody = &apiError{
		status: http.StatusBadRequest, code: codeUnsupported, outcome: "invalid",
		message: "a pull has no body: send the request without one",
	}
	errNoAPI = &apiError{
		status: http.StatusNotFound, code: codeNameUnknown, outcome: "invalid",
		message: "there is nothing at this path: the API is /v2/<name>/{manifests,blobs,referrers}/<reference> and /v2/<name>/tags/list",
	}
	errCatalog = &apiError{
		status: http.StatusNotFound, code: codeUnsupported, outcome: "invalid",
		message: "there is no list of repositories: name the one you want",
	}
	errInternal = &apiError{
		status: http.StatusInternalServerError, code: codeUnavailable, outcome: "error",
		message: "something went wrong here; the log says what",
	}
)

func invalid(code, format string, args ...any) error {
	return &apiError{status: http.StatusBadRequest, code: code, message: fmt.Sprintf(format, args...), outcome: "invalid"}
}

func invalidName(name string) error {
	return invalid(codeNameInvalid, "%q is not a repository name: use lower-case letters and digits, separated by one of . _ __ - and /, at most %d characters", clip(name), maxName)
}

// invalidTag answers 404, which is what the conformance suite asks of a tag that cannot exist.
func invalidTag(tag string) error {
	return &apiError{
		status: http.StatusNotFound, code: codeManifestUnknown, outcome: "invalid",
		message: fmt.Sprintf("%q is not a tag: use letters, digits, . _ and -, not beginning with . or -, at most %d characters", clip(tag), maxTag),
	}
}

func invalidDigest(d string) error {
	return invalid(codeDigestInvalid, "%q is not a digest: use sha256: and 64 or sha512: and 128 lower-case hexadecimal digits", clip(d))
}

// clip shortens what a client sent for a message.
func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}

// asAPI is the one place where errors become answers.
func asAPI(err error, k kind) *apiError {
	if e, ok := errors.AsType[*apiError](err); ok {
		return e
	}
	if e, ok := errors.AsType[*catalog.UnknownError](err); ok {
		return &apiError{status: http.StatusNotFound, code: codeNameUnknown, message: e.Error(), outcome: "unknown_name"}
	}
	if e, ok := errors.AsType[*pull.Error](err); ok {
		return fromPull(e, k)
	}
	return errInternal
}

func fromPull(e *pull.Error, k kind) *apiError {
	a := &apiError{message: e.Error()}
	for _, answer := range e.Answers {
		a.detail = append(a.detail, said(answer))
	}
	switch e.Reason {
	case pull.NotFound:
		a.status, a.outcome = http.StatusNotFound, "not_found"
		switch {
		case e.Repository || k == kindTags:
			a.code = codeNameUnknown
		case k == kindBlob:
			a.code = codeBlobUnknown
		default:
			a.code = codeManifestUnknown
		}
	case pull.Denied:
		a.status, a.code, a.outcome = http.StatusForbidden, codeDenied, "denied"
	case pull.Refused:
		a.status, a.code, a.outcome = http.StatusBadGateway, codeUnavailable, "refused"
	case pull.Limited:
		a.status, a.code, a.outcome = http.StatusTooManyRequests, codeTooMany, "limited"
		a.retryAfter = max(e.RetryAfter, time.Second)
	case pull.Looped:
		// No code says it, and with UNAVAILABLE clients would try again.
		a.status, a.code, a.outcome = http.StatusLoopDetected, codeUnsupported, "loop"
	default:
		a.status, a.code, a.outcome = http.StatusServiceUnavailable, codeUnavailable, "unavailable"
		a.retryAfter = max(e.RetryAfter, retryLater)
	}
	return a
}

// fail answers with an error, unless the client is gone or has part of the answer already.
func (h *Handler) fail(w *response, r *http.Request, err error) {
	if r.Context().Err() != nil && errors.Is(err, context.Canceled) {
		w.outcome = "client_gone"
		panic(http.ErrAbortHandler) // else an empty 200 goes to a client that only half left
	}
	e := asAPI(err, w.kind)
	w.outcome = e.outcome
	if e == errInternal {
		h.logger.LogAttrs(r.Context(), slog.LevelError, "request failed", slog.String("path", clip(r.URL.Path)), slog.Any("error", err))
	}
	if w.status != 0 {
		panic(http.ErrAbortHandler)
	}
	header := w.Header()
	header[keyAPIVersion] = apiVersion
	if e == errMethod {
		header.Set("Allow", "GET, HEAD")
	}
	if e.retryAfter > 0 {
		header.Set("Retry-After", strconv.Itoa(int(math.Ceil(e.retryAfter.Seconds()))))
	}
	if e.detail != nil {
		header.Set("Cache-Status", "berth; fwd=miss; detail="+e.outcome)
	} else {
		header.Set("Cache-Status", "berth; detail="+e.outcome)
	}
	if w.hint != "" && (e.status == http.StatusNotFound || e.status == http.StatusForbidden) {
		own := *e
		own.message += w.hint
		e = &own
	}
	writeError(w, e, r.Method)
}

func writeError(w http.ResponseWriter, e *apiError, method string) {
	type item struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		Detail  []said `json:"detail,omitempty"`
	}
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false) // nobody reads it as HTML, and people read it with curl
	if err := encoder.Encode(map[string][]item{"errors": {{e.code, e.message, e.detail}}}); err != nil {
		body.WriteString(`{"errors":[]}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(body.Len()))
	w.WriteHeader(e.status)
	if method != http.MethodHead {
		_, _ = w.Write(body.Bytes()) //nolint:errcheck // the client is told as much as it will hear
	}
}
