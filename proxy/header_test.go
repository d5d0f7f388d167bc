package proxy

import (
	"net/http"
	"testing"
)

// A key that is not in canonical form would be sent, but not found by anyone who looks.
func TestKeysAreCanonical(t *testing.T) {
	for _, key := range []string{
		keyAPIVersion, keyNoSniff, keySandbox, keyDigest, keyETag, keyAcceptRanges,
		keyContentType, keyContentLength, keyCacheStatus, keyAge,
	} {
		if want := http.CanonicalHeaderKey(key); key != want {
			t.Errorf("%s is %s", key, want)
		}
	}
}

// Values share memory, but neither their keys nor their successors.
func TestValuesAreApart(t *testing.T) {
	var v values
	h := http.Header{}
	keys := []string{"A", "B", "C", "D", "E", "F", "G", "H", "I", "J"}
	for _, key := range keys {
		v.set(h, key, "value of "+key)
	}
	for _, key := range keys {
		h.Add(key, "another")
	}
	for _, key := range keys {
		if got := h[key]; len(got) != 2 || got[0] != "value of "+key || got[1] != "another" {
			t.Errorf("%s is %q", key, got)
		}
	}
}
