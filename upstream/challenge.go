package upstream

import (
	"net/http"
	"strings"
)

// maxChallenge bounds how much of a WWW-Authenticate header is read, in bytes.
const maxChallenge = 8 << 10

// challenge is one challenge of a WWW-Authenticate header.
type challenge struct {
	scheme string            // in lower case
	params map[string]string // names in lower case; of two equal names the first counts
}

// parseChallenges reads all challenges of an answer (RFC 9110 section 11.6.1). What it
// cannot read it leaves out: a challenge that is understood half is not guessed at.
func parseChallenges(h http.Header) []challenge {
	var all []challenge
	for _, line := range h.Values("WWW-Authenticate") {
		if len(line) <= maxChallenge {
			all = append(all, parseChallengeLine(line)...)
		}
	}
	return all
}

// pick returns the challenge to answer: Bearer with a realm before Basic.
func pick(all []challenge) (challenge, bool) {
	for _, c := range all {
		if c.scheme == "bearer" && c.params["realm"] != "" {
			return c, true
		}
	}
	for _, c := range all {
		if c.scheme == "basic" {
			return c, true
		}
	}
	return challenge{}, false
}

// parseChallengeLine reads a comma-separated list in which commas also separate the
// parameters of one challenge: an item "name = value" belongs to the challenge before it,
// any other item begins a new one.
func parseChallengeLine(line string) []challenge {
	var all []challenge
	s := &scanner{rest: line}
	for {
		s.skip(" \t,")
		word := s.token()
		if word == "" {
			return all
		}
		s.skip(" \t")
		if value, ok := s.value(); ok {
			if len(all) == 0 {
				return nil // a parameter of nothing
			}
			all[len(all)-1].set(word, value)
			continue
		}
		if s.broken {
			return all[:max(0, len(all)-1)] // the last one is not whole
		}
		all = append(all, challenge{scheme: strings.ToLower(word), params: map[string]string{}})
		s.token68()
	}
}

func (c challenge) set(name, value string) {
	name = strings.ToLower(name)
	if _, ok := c.params[name]; !ok {
		c.params[name] = value
	}
}

// scanner walks over one header value.
type scanner struct {
	rest   string
	broken bool // a quoted string does not end
}

func (s *scanner) skip(set string) { s.rest = strings.TrimLeft(s.rest, set) }

// token takes the longest RFC 9110 token, which may be empty.
func (s *scanner) token() string {
	n := 0
	for n < len(s.rest) && isTokenByte(s.rest[n]) {
		n++
	}
	word := s.rest[:n]
	s.rest = s.rest[n:]
	return word
}

// value takes "= token" or "= quoted string", or nothing.
func (s *scanner) value() (string, bool) {
	after, ok := strings.CutPrefix(s.rest, "=")
	if !ok {
		return "", false
	}
	s.rest = after
	s.skip(" \t")
	if !strings.HasPrefix(s.rest, `"`) {
		// Some registries leave the quotes out of a URL: take it up to the next separator.
		n := strings.IndexAny(s.rest, ", \t")
		if n < 0 {
			n = len(s.rest)
		}
		word := s.rest[:n]
		s.rest = s.rest[n:]
		return word, true
	}
	return s.quoted()
}

func (s *scanner) quoted() (string, bool) {
	var b strings.Builder
	for i := 1; i < len(s.rest); i++ {
		switch ch := s.rest[i]; ch {
		case '"':
			s.rest = s.rest[i+1:]
			return b.String(), true
		case '\\':
			i++
			if i < len(s.rest) {
				b.WriteByte(s.rest[i])
			}
		default:
			b.WriteByte(ch)
		}
	}
	s.rest, s.broken = "", true
	return "", false
}

// token68 skips the single opaque value that a challenge may have instead of parameters,
// as in "Negotiate oYIB…==".
func (s *scanner) token68() {
	s.skip(" \t")
	n := 0
	for n < len(s.rest) && (isTokenByte(s.rest[n]) || s.rest[n] == '/') {
		n++
	}
	end := n
	for end < len(s.rest) && s.rest[end] == '=' {
		end++
	}
	if tail := strings.TrimLeft(s.rest[end:], " \t"); n > 0 && (tail == "" || tail[0] == ',') {
		s.rest = tail
	}
}

func isTokenByte(b byte) bool {
	return b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' ||
		strings.IndexByte("!#$%&'*+-.^_`|~", b) >= 0
}
