package origin

import (
	"encoding/json"
	"fmt"
	"maps"
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
	given map[string]*grant // by token
}

// grant is what a token is good for.
type grant struct {
	scope string
	used  bool
}

// admit answers 401 to a request without a token for its repository.
func (t *tokens) admit(w http.ResponseWriter, q *http.Request) bool {
	name, _, _ := split(q.URL.Path)
	if strings.HasPrefix(q.URL.Path, storagePath) {
		return true
	}
	t.mu.Lock()
	g := t.given[strings.TrimPrefix(q.Header.Get("Authorization"), "Bearer ")]
	good := g != nil && g.scope == "repository:"+name+":pull"
	if good {
		g.used = true
	}
	t.mu.Unlock()
	if good {
		return true
	}
	w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s%s",service="soak",scope="repository:%s:pull"`, q.Host, tokenPath, name))
	refuse(w, http.StatusUnauthorized, "UNAUTHORIZED")
	return false
}

// expire makes all tokens bad that were used before: a registry that refuses a new one
// says that the repository is not for us, which is another matter.
func (t *tokens) expire() {
	t.mu.Lock()
	defer t.mu.Unlock()
	maps.DeleteFunc(t.given, func(_ string, g *grant) bool { return g.used })
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
	if t.given == nil {
		t.given = map[string]*grant{}
	}
	token := fmt.Sprintf("token-%d", t.last)
	t.given[token] = &grant{scope: scope}
	return token
}
