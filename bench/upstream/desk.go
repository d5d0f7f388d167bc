package upstream

import (
	"encoding/json"
	"net/http"

	"github.com/berth-cache/berth/bench/image"
)

// maxOrder bounds what the desk reads, in bytes.
const maxOrder = 1 << 20

// newDesk serves whoever runs the benchmark:
//
//	GET  /endpoint  where clients find the registry
//	GET  /counters  what was asked and given
//	POST /images    an image.Spec to have
//	POST /pools     an image.Pool to have
func newDesk(e Endpoint, l *image.Library, n *counter) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /endpoint", func(w http.ResponseWriter, _ *http.Request) { reply(w, e) })
	mux.HandleFunc("GET /counters", func(w http.ResponseWriter, _ *http.Request) { reply(w, n.read()) })
	mux.HandleFunc("POST /images", func(w http.ResponseWriter, r *http.Request) {
		var spec image.Spec
		if !read(w, r, &spec) {
			return
		}
		m, err := image.Make(spec)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		l.AddImage(m)
	})
	mux.HandleFunc("POST /pools", func(w http.ResponseWriter, r *http.Request) {
		var pool image.Pool
		if read(w, r, &pool) {
			l.AddPool(pool)
		}
	})
	return mux
}

func reply(w http.ResponseWriter, answer any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// read decodes what a request brings, and answers if that cannot be.
func read(w http.ResponseWriter, r *http.Request, into any) bool {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxOrder))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return false
	}
	return true
}
