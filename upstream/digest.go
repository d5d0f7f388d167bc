package upstream

import (
	_ "crypto/sha256" // go-digest knows only algorithms that are linked in
	_ "crypto/sha512"

	"github.com/opencontainers/go-digest"
)

// supported returns s as a digest if it is a valid one of an algorithm that we keep
// content by, else the empty digest.
func supported(s string) digest.Digest {
	d, err := digest.Parse(s)
	if err != nil || d.Algorithm() != digest.SHA256 && d.Algorithm() != digest.SHA512 {
		return ""
	}
	return d
}

func isDigest(reference string) bool { return supported(reference) != "" }
