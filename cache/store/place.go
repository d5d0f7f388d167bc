package store

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"
)

// ErrDigest says that a digest is malformed or of an algorithm that no content is kept
// under. Only sha256 and sha512 are.
var ErrDigest = errors.New("digest not supported")

// algorithm is one that content is kept under.
type algorithm struct {
	tag byte
	// empty is the hash of no bytes at all.
	empty []byte
}

var (
	emptySHA256 = sha256.Sum256(nil)
	emptySHA512 = sha512.Sum512(nil)
	algorithms  = map[string]algorithm{
		"sha256": {1, emptySHA256[:]},
		"sha512": {2, emptySHA512[:]},
	}
)

// place is where a digest lives. It is made from validated digests only, so that its
// paths, which are relative to the store's folder, cannot name anything else.
type place struct {
	digest digest.Digest
	// dir, name and file are such as "sha256/ab", "ab12…" and "sha256/ab/ab12…".
	dir, name, file string
	// key is the algorithm's tag and the raw hash: half of what the hex form takes.
	key []byte
	// empty says that the digest is that of no bytes at all.
	empty bool
}

// locate finds the place of d, or returns ErrDigest.
func locate(d digest.Digest) (place, error) {
	algo, encoded, _ := strings.Cut(string(d), ":")
	algorithm, known := algorithms[algo]
	if !known {
		return place{}, fmt.Errorf("digest %q: %w", d, ErrDigest)
	}
	key := make([]byte, 1+len(algorithm.empty))
	key[0] = algorithm.tag
	if len(encoded) != hex.EncodedLen(len(algorithm.empty)) {
		return place{}, fmt.Errorf("digest %q: %w", d, ErrDigest)
	}
	// hex takes upper case as well, which would be a second name for the same content.
	if _, err := hex.Decode(key[1:], []byte(encoded)); err != nil || strings.ToLower(encoded) != encoded {
		return place{}, fmt.Errorf("digest %q: %w", d, ErrDigest)
	}
	// Every hit comes along here: the names are parts of one string.
	file := algo + "/" + encoded[:2] + "/" + encoded
	return place{
		digest: d,
		dir:    file[:len(file)-len(encoded)-1],
		name:   encoded,
		file:   file,
		key:    key,
		empty:  bytes.Equal(key[1:], algorithm.empty),
	}, nil
}

// digestOf is the digest that has key; empty if there is none.
func digestOf(key []byte) digest.Digest {
	for name, a := range algorithms {
		if len(key) == 1+len(a.empty) && key[0] == a.tag {
			return digest.NewDigestFromBytes(digest.Algorithm(name), key[1:])
		}
	}
	return ""
}

// plausible tells whether a regular file of size bytes can be the whole content: a file
// is synced before it gets its name, so that a crash leaves it whole, but some file
// systems leave an empty one after a loss of power.
func (p place) plausible(size int64) bool {
	return p.empty == (size == 0)
}
