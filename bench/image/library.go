package image

import (
	"crypto/sha256"
	"encoding/hex"
	"sync"

	"github.com/opencontainers/go-digest"
)

// Library finds content by what clients ask for. Many may use it at once.
type Library struct {
	// mu guards the fields below.
	mu     sync.RWMutex
	images map[string]Image
	blobs  map[held]Blob
}

// held is a blob's key: its repository, so that nothing is found in another, and the
// SHA-256 as it is, because a pool may have a million.
type held struct {
	repository string
	sum        [sha256.Size]byte
}

// NewLibrary returns an empty one.
func NewLibrary() *Library {
	return &Library{images: map[string]Image{}, blobs: map[held]Blob{}}
}

// AddImage adds m under its tag and its digest.
func (l *Library) AddImage(m Image) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.images[m.Repository] = m
	for _, p := range append([]Part{m.Config}, m.Layers...) {
		l.put(m.Repository, p.Digest, p.Blob)
	}
}

// AddPool adds every blob of p.
func (l *Library) AddPool(p Pool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for d, b := range p.Every(p.Count) {
		l.put(p.Repository, d, b)
	}
}

// Image finds the image that reference, a tag or a digest, names.
func (l *Library) Image(repository, reference string) (Image, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	m, ok := l.images[repository]
	return m, ok && (reference == Tag || reference == m.Digest.String())
}

// Blob finds a blob of the repository.
func (l *Library) Blob(repository string, d digest.Digest) (Blob, bool) {
	k, ok := key(repository, d)
	if !ok {
		return Blob{}, false
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	b, ok := l.blobs[k]
	return b, ok
}

// put adds a blob; mu is held.
func (l *Library) put(repository string, d digest.Digest, b Blob) {
	if k, ok := key(repository, d); ok {
		l.blobs[k] = b
	}
}

// key is false for anything but a SHA-256.
func key(repository string, d digest.Digest) (held, bool) {
	if d.Validate() != nil || d.Algorithm() != digest.SHA256 {
		return held{}, false
	}
	k := held{repository: repository}
	_, err := hex.Decode(k.sum[:], []byte(d.Encoded()))
	return k, err == nil
}
