package cache

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/opencontainers/go-digest"

	"github.com/berth-cache/berth/cache/store"
)

var (
	// ErrMismatch says that bytes do not hash to the digest they were asked for by.
	ErrMismatch = errors.New("content does not match its digest")
	// ErrLength says that a source delivered more bytes than it announced, or changed
	// its mind about how many there are.
	ErrLength = errors.New("content has another length than announced")
)

// verifier hashes content while it arrives. What it says decides what is served as
// complete and what is committed.
type verifier struct {
	digest digest.Digest
	hash   hash.Hash
}

// newVerifier returns a verifier for d, or store.ErrDigest.
func newVerifier(d digest.Digest) (*verifier, error) {
	if err := d.Validate(); err != nil {
		return nil, fmt.Errorf("digest %q: %w", d, store.ErrDigest)
	}
	switch d.Algorithm() {
	case digest.SHA256:
		return &verifier{digest: d, hash: sha256.New()}, nil
	case digest.SHA512:
		return &verifier{digest: d, hash: sha512.New()}, nil
	}
	return nil, fmt.Errorf("digest %q: %w", d, store.ErrDigest)
}

// verify returns ErrMismatch unless b is content d, or store.ErrDigest.
func verify(d digest.Digest, b []byte) error {
	v, err := newVerifier(d)
	if err != nil {
		return err
	}
	if _, err := v.Write(b); err != nil {
		return err
	}
	return v.check()
}

var _ io.Writer = (*verifier)(nil)

// Write takes the next bytes. It never fails.
func (v *verifier) Write(b []byte) (int, error) { return v.hash.Write(b) }

// clone returns a verifier that goes on from here by itself.
func (v *verifier) clone() (*verifier, error) {
	h, ok := v.hash.(hash.Cloner)
	if !ok {
		return nil, fmt.Errorf("clone hash: %w", errors.ErrUnsupported)
	}
	own, err := h.Clone()
	if err != nil {
		return nil, fmt.Errorf("clone hash: %w", err)
	}
	return &verifier{digest: v.digest, hash: own}, nil
}

// check returns ErrMismatch unless the bytes written hash to the digest.
func (v *verifier) check() error {
	got := hex.EncodeToString(v.hash.Sum(nil))
	if got != v.digest.Encoded() {
		return fmt.Errorf("%s, got %s:%s: %w", v.digest, v.digest.Algorithm(), got, ErrMismatch)
	}
	return nil
}
