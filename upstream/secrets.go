package upstream

import (
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/authn"
)

// secrets are what no message may repeat: of each credential the login in use and the one
// before it, which an answer that is late may speak of.
type secrets struct {
	mu   sync.Mutex // guards what is below
	held map[*keyring][2][]string
	// words are all that is held, the longest first: one may be the beginning of another.
	words []string
}

func newSecrets() *secrets { return &secrets{held: map[*keyring][2][]string{}} }

func (s *secrets) add(k *keyring, login authn.AuthConfig) {
	var words []string
	for _, word := range []string{strings.TrimPrefix(basicOf(login), "Basic "), login.Password, login.IdentityToken} {
		if word != "" {
			words = append(words, word, url.QueryEscape(word))
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held[k] = [2][]string{words, s.held[k][0]}
	s.words = nil
	for _, both := range s.held {
		s.words = append(append(s.words, both[0]...), both[1]...)
	}
	slices.SortFunc(s.words, func(a, b string) int { return len(b) - len(a) })
}

// hide replaces them in text.
func (s *secrets) hide(text string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, word := range s.words {
		text = strings.ReplaceAll(text, word, "***")
	}
	return text
}
