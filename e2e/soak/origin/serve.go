package origin

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/berth-cache/berth/e2e/soak/truth"
)

const storagePath = "/storage/"

// split cuts /v2/<name>/<kind>/<reference>.
func split(path string) (name, kind, reference string) {
	rest := strings.TrimPrefix(path, "/v2/")
	for _, kind := range []string{"/manifests/", "/blobs/", "/referrers/", "/tags/"} {
		if i := strings.LastIndex(rest, kind); i > 0 {
			return rest[:i], strings.Trim(kind, "/"), rest[i+len(kind):]
		}
	}
	return "", "", ""
}

// serve answers a request that has passed the login.
func (o *Origin) serve(w http.ResponseWriter, q *http.Request, l luck) {
	name, kind, reference := split(q.URL.Path)
	if rest, ok := strings.CutPrefix(q.URL.Path, storagePath); ok {
		if q.Header.Get("Authorization") != "" {
			http.Error(w, "only one login is allowed", http.StatusBadRequest)
			return
		}
		d, from, _ := strings.Cut(rest, "/")
		name, kind, reference = from, "stored", d
	}
	repository, ok := o.library.Find(o.Name, name)
	if !ok {
		refuse(w, http.StatusNotFound, "NAME_UNKNOWN")
		return
	}
	switch kind {
	case "manifests":
		o.serveManifest(w, q, l, repository)
	case "blobs", "stored":
		b, ok := repository.Blob(digest.Digest(reference))
		switch {
		case !ok:
			refuse(w, http.StatusNotFound, "BLOB_UNKNOWN")
		case kind == "blobs" && o.options.Storage:
			// Another host, by its name, so that the login must not follow.
			w.Header().Set("Location", o.URL(strings.Replace(q.Host, "127.0.0.1", "localhost", 1))+storagePath+reference+"/"+name)
			w.WriteHeader(http.StatusTemporaryRedirect)
		default:
			o.serveBlob(w, q, l, b)
		}
	case "referrers":
		list := repository.Referrers(digest.Digest(reference))
		w.Header().Set("Content-Type", list.MediaType)
		reply(w, q, list.Body)
	default:
		serveTags(w, q, repository)
	}
}

func (o *Origin) serveManifest(w http.ResponseWriter, q *http.Request, l luck, r *truth.Repository) {
	_, _, reference := split(q.URL.Path)
	m, ok := r.Manifest(reference)
	if !ok {
		refuse(w, http.StatusNotFound, "MANIFEST_UNKNOWN")
		return
	}
	if q.Method == http.MethodGet && l.meets(Portal) {
		portal(w)
		return
	}
	w.Header().Set("Content-Type", m.MediaType)
	w.Header().Set("Docker-Content-Digest", m.Digest.String())
	w.Header().Set("Etag", strconv.Quote(m.Digest.String()))
	reply(o.spoil(w, q, l, int64(len(m.Body))), q, m.Body)
}

func (o *Origin) serveBlob(w http.ResponseWriter, q *http.Request, l luck, b truth.Blob) {
	if q.Method == http.MethodGet && l.meets(Portal) {
		portal(w)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Docker-Content-Digest", b.Digest.String())
	if o.options.NoRanges {
		q = q.Clone(q.Context())
		q.Header.Del("Range")
	}
	http.ServeContent(o.spoil(w, q, l, b.Size), q, "", time.Time{}, b.Reader())
}

// serveTags lists tags in lexical order, with n, last and a Link to the next page.
func serveTags(w http.ResponseWriter, q *http.Request, r *truth.Repository) {
	query := q.URL.Query()
	tags := []string{}
	for _, tag := range r.Tags() {
		if tag > query.Get("last") {
			tags = append(tags, tag)
		}
	}
	if n, err := strconv.Atoi(query.Get("n")); err == nil && n > 0 && n < len(tags) {
		tags = tags[:n]
		next := url.Values{"n": {strconv.Itoa(n)}, "last": {tags[n-1]}}
		w.Header().Set("Link", "</v2/"+r.Name+"/tags/list?"+next.Encode()+`>; rel="next"`)
	}
	body, err := json.Marshal(map[string]any{"name": r.Name, "tags": tags})
	if err != nil {
		panic(err) // strings always marshal
	}
	w.Header().Set("Content-Type", "application/json")
	reply(w, q, body)
}

func portal(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/html")
	write(w, []byte("<html>please log in to the network</html>"))
}

// reply sends body with its length, to HEAD the length alone.
func reply(w http.ResponseWriter, q *http.Request, body []byte) {
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	if q.Method != http.MethodHead {
		write(w, body)
	}
}

// refuse sends an error in the registry's form.
func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	write(w, []byte(`{"errors":[{"code":"`+code+`","message":"`+code+`"}]}`))
}

// write sends b. That the client is gone shows on its side.
func write(w http.ResponseWriter, b []byte) {
	_, _ = w.Write(b) //nolint:errcheck // see above
}
