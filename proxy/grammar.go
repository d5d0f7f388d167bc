package proxy

import "strings"

// validDigest tells whether s is a sha256 or sha512 digest. The library's own check is a
// regular expression, and costs more than all else of a warm request's parsing.
func validDigest(s string) bool {
	encoded, ok := strings.CutPrefix(s, "sha256:")
	length := 64
	if !ok {
		encoded, ok = strings.CutPrefix(s, "sha512:")
		length = 128
	}
	if !ok || len(encoded) != length {
		return false
	}
	for i := range len(encoded) {
		if c := encoded[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// validName tells whether s is a repository name of the specification:
// [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/…)*
func validName(s string) bool {
	if len(s) > maxName {
		return false
	}
	for part := range strings.SplitSeq(s, "/") {
		if !validComponent(part) {
			return false
		}
	}
	return true
}

func validComponent(s string) bool {
	wordBefore := false
	for i := 0; i < len(s); {
		if isWord(s[i]) {
			wordBefore = true
			i++
			continue
		}
		if !wordBefore {
			return false
		}
		n := separatorLength(s[i:])
		if n == 0 {
			return false
		}
		i += n
		wordBefore = false
	}
	return wordBefore
}

func isWord(c byte) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }

// separatorLength is that of the separator which s begins with: one dot, one or two
// underscores, or any number of dashes.
func separatorLength(s string) int {
	n := 0
	for n < len(s) && s[n] == s[0] {
		n++
	}
	switch {
	case s[0] == '.' && n == 1, s[0] == '_' && n <= 2, s[0] == '-':
		return n
	}
	return 0
}

// validTag tells whether s is a tag of the specification: [a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}
func validTag(s string) bool {
	if s == "" || len(s) > maxTag || s[0] == '.' || s[0] == '-' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !isWord(c) && (c < 'A' || c > 'Z') && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return true
}
