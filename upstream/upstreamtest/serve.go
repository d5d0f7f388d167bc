package upstreamtest

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
)

// serveContent answers a request that has passed the login.
func (r *Registry) serveContent(w http.ResponseWriter, q *http.Request, op operation) {
	set := r.setting()
	if r.redirected(w, &op, set.region) || r.limited(w, q, op) {
		return
	}
	switch {
	case op.kind == kindOther && op.reference == pingPath:
		w.Header().Set("Content-Type", "application/json")
		reply(w, q, []byte("{}"))
	case op.kind == kindOther || op.kind == kindStorage:
		http.NotFound(w, q)
	case q.Method != http.MethodGet && q.Method != http.MethodHead, q.Method == http.MethodHead && set.noHead:
		refuse(w, http.StatusMethodNotAllowed, "UNSUPPORTED", "method not allowed")
	case op.kind == kindBlob && q.Method == http.MethodHead && set.blobHead != 0:
		w.Header().Set("WWW-Authenticate", r.challengeFor(q, op))
		refuse(w, set.blobHead, "UNAUTHORIZED", "authentication required")
	case !r.exists(op.repository), set.oneLevel && strings.Contains(op.repository, "/"):
		refuse(w, http.StatusNotFound, "NAME_UNKNOWN", "repository name not known to registry")
	case op.kind == kindManifest:
		r.serveManifest(w, q, op)
	case op.kind == kindBlob:
		r.serveBlob(w, q, op)
	case op.kind == kindTags:
		r.serveTags(w, q, op)
	default:
		r.serveReferrers(w, q, op)
	}
}

func (r *Registry) serveManifest(w http.ResponseWriter, q *http.Request, op operation) {
	d, m, ok := r.find(op.repository, op.reference)
	if !ok {
		refuse(w, http.StatusNotFound, "MANIFEST_UNKNOWN", "manifest unknown")
		return
	}
	h := w.Header()
	h.Set("Docker-Content-Digest", string(d))
	if !r.setting().noETag {
		h.Set("Etag", `"`+string(d)+`"`)
	}
	h.Set("Content-Type", m.mediaType)
	reply(w, q, m.body)
}

func (r *Registry) serveBlob(w http.ResponseWriter, q *http.Request, op operation) {
	d := digest.Digest(op.reference)
	content, ok := r.blob(op.repository, d)
	if !ok {
		refuse(w, http.StatusNotFound, "BLOB_UNKNOWN", "blob unknown to registry")
		return
	}
	if base := r.setting().storage; base != "" {
		w.Header().Set("Docker-Content-Digest", string(d))
		w.Header().Set("Location", base+"/storage/"+string(d)+"?signature=secret")
		w.WriteHeader(http.StatusTemporaryRedirect)
		return
	}
	w.Header().Set("Docker-Content-Digest", string(d))
	r.serveBytes(w, q, content)
}

// redirected sends a request without its query to another region, unless it was sent there.
func (r *Registry) redirected(w http.ResponseWriter, op *operation, region string) bool {
	if region == "" || op.repository == "" {
		return false
	}
	u, err := url.Parse(region)
	if err != nil {
		panic(err)
	}
	prefix := strings.TrimPrefix(u.Path, pingPath) + "/"
	name, there := strings.CutPrefix(op.repository, prefix)
	op.repository = name
	if _, held := r.blob(name, digest.Digest(op.reference)); there || held {
		return false
	}
	u.Path += "/" + name + map[string]string{kindTags: "/tags/list"}[op.kind]
	if op.kind != kindTags {
		u.Path += "/" + strings.TrimSuffix(op.kind, "s") + "s/" + op.reference
	}
	w.Header().Set("Location", u.String())
	w.WriteHeader(http.StatusTemporaryRedirect)
	return true
}

func (r *Registry) serveStorage(w http.ResponseWriter, q *http.Request, op operation) {
	content, ok := r.anyBlob(digest.Digest(op.reference))
	set := r.setting()
	switch {
	case q.Method == http.MethodHead && set.storageHead != 0:
		w.WriteHeader(set.storageHead)
	case q.Header.Get("Authorization") != "":
		http.Error(w, "Only one auth mechanism allowed", http.StatusBadRequest)
	case !ok:
		http.NotFound(w, q)
	default:
		r.serveBytes(w, q, content)
	}
}

// serveBytes answers with content and, unless told otherwise, honours ranges.
func (r *Registry) serveBytes(w http.ResponseWriter, q *http.Request, content []byte) {
	w.Header().Set("Content-Type", "application/octet-stream")
	if r.setting().noRanges {
		reply(w, q, content)
		return
	}
	http.ServeContent(w, q, "", time.Time{}, bytes.NewReader(content))
}

// reply sends body with its length, to HEAD the length alone.
func reply(w http.ResponseWriter, q *http.Request, body []byte) {
	w.Header().Set("Content-Length", itoa(int64(len(body))))
	w.WriteHeader(http.StatusOK)
	if q.Method != http.MethodHead {
		write(w, body)
	}
}

// refuse sends an error in the registry's form.
func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	write(w, ErrorBody(code, message))
}

// ErrorBody is an error body as the distribution API specifies it.
func ErrorBody(code, message string) []byte {
	type entry struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	b, err := json.Marshal(map[string][]entry{"errors": {{Code: code, Message: message}}})
	if err != nil {
		panic(err) // two strings always marshal
	}
	return b
}

// write sends b. That the client is gone shows on the client's side.
func write(w http.ResponseWriter, b []byte) {
	_, _ = w.Write(b) //nolint:errcheck // see above
}
