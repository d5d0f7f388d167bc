package upstream

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

const tokenPath = "/token"

// tokens are of one value for all: what they cost is the asking for them.
type tokens struct{ value string }

func newTokens() *tokens { return &tokens{value: rand.Text()} }

// serve is the token service.
func (t *tokens) serve(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	answer := map[string]any{"token": t.value, "access_token": t.value, "expires_in": 3600}
	json.NewEncoder(w).Encode(answer) //nolint:errcheck // a client that left is its own trouble
}

func (t *tokens) valid(req *http.Request) bool {
	token, ok := strings.CutPrefix(req.Header.Get("Authorization"), "Bearer ")
	return ok && token == t.value
}

// challenge says where a token for the request is given.
func (t *tokens) challenge(w http.ResponseWriter, req *http.Request) {
	scheme := "http"
	if req.TLS != nil {
		scheme = "https"
	}
	header := fmt.Sprintf(`Bearer realm="%s://%s%s",service="bench"`, scheme, req.Host, tokenPath)
	if path, ok := strings.CutPrefix(req.URL.Path, "/v2/"); ok && path != "" {
		repository, _, _ := strings.Cut(path, "/manifests/")
		repository, _, _ = strings.Cut(repository, "/blobs/")
		header += fmt.Sprintf(`,scope="repository:%s:pull"`, repository)
	}
	w.Header().Set("WWW-Authenticate", header)
	refuse(w, http.StatusUnauthorized, "UNAUTHORIZED")
}
