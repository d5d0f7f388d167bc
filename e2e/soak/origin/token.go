package origin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
)

const tokenPath = "/token"

// tokens are those that were given out and are good.
type tokens struct {
	// mu guards what is below.
	mu    sync.Mutex
	last  int
	scope map[string]string // by token
}

// admit answers 401 to a request without a token for its repository.
func (t *tokens) admit(w http.ResponseWriter, q *http.Request) bool {
	name, _, _ := split(q.URL.Path)
	if strings.HasPrefix(q.URL.Path, storagePath) {
		return true
	}
	t.mu.Lock()
	scope, ok := t.scope[strings.TrimPrefix(q.Header.Get("Authorization"), "Bearer ")]
	t.mu.Unlock()
	if ok && scope == "repository:"+name+":pull" {
		return true
	}
	w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s%s",service="soak",scope="repository:%s:pull"`, q.Host, tokenPath, name))
	refuse(w, http.StatusUnauthorized, "UNAUTHORIZED")
	return false
}

// expire makes all tokens bad.
func (t *tokens) expire() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.scope = nil
}

func (o *Origin) serveToken(w http.ResponseWriter, q *http.Request, l luck) {
	if l.meets(TokenIll) {
		refuse(w, http.StatusServiceUnavailable, "UNAVAILABLE")
		return
	}
	if user, password, ok := q.BasicAuth(); !ok || user != Username || password != Password {
		refuse(w, http.StatusUnauthorized, "UNAUTHORIZED")
		return
	}
	answer := map[string]any{"token": o.tokens.give(q.URL.Query().Get("scope")), "expires_in": 60}
	body, err := json.Marshal(answer)
	if err != nil {
		panic(err) // a string and a number always marshal
	}
	w.Header().Set("Content-Type", "application/json")
	write(w, body)
}

func (t *tokens) give(scope string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last++
	if t.scope == nil {
		t.scope = map[string]string{}
	}
	token := fmt.Sprintf("token-%d", t.last)
	t.scope[token] = scope
	return token
}
