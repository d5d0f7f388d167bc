package image

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"sync"

	"github.com/opencontainers/go-digest"
)

const (
	// pageSize is the length of a piece of content that is told from all others.
	pageSize = 4096
	// stampSize is the length of a page's beginning: seed and number of the page.
	stampSize = 16
	// patternPages are few enough to stay in a processor's second cache.
	patternPages = 32
)

// pattern is what pages are filled with, the same for all content: noise, so that nothing
// on the way can make it smaller.
var pattern = sync.OnceValue(func() []byte {
	noise := make([]byte, patternPages*pageSize)
	rand.NewChaCha8(sha256.Sum256([]byte("berth bench"))).Read(noise) //nolint:errcheck // it never fails
	return noise
})

// Blob is content of Size bytes that follows from Seed.
type Blob struct {
	Seed uint64 `json:"seed"`
	Size int64  `json:"size"`
}

var _ io.ReaderAt = Blob{}

// ReadAt implements io.ReaderAt.
func (b Blob) ReadAt(p []byte, offset int64) (int, error) {
	if n := b.read(p, offset); n < len(p) {
		return n, io.EOF
	}
	return len(p), nil
}

// read fills p with what stands at offset, as far as there is anything.
func (b Blob) read(p []byte, offset int64) int {
	n := 0
	for n < len(p) && offset+int64(n) < b.Size {
		stamp, filling := b.piece(offset+int64(n), int64(len(p)-n))
		n += copy(p[n:], stamp)
		n += copy(p[n:], filling)
	}
	return n
}

// Equal tells whether p is what stands at offset.
func (b Blob) Equal(p []byte, offset int64) bool {
	if offset+int64(len(p)) > b.Size {
		return false
	}
	for len(p) > 0 {
		stamp, filling := b.piece(offset, int64(len(p)))
		if !bytes.Equal(p[:len(stamp)], stamp) {
			return false
		}
		p = p[len(stamp):]
		if !bytes.Equal(p[:len(filling)], filling) {
			return false
		}
		p = p[len(filling):]
		offset += int64(len(stamp) + len(filling))
	}
	return true
}

// piece is what stands at offset in one page, at most limit bytes of it: the rest of the
// page's stamp and the rest of its filling.
func (b Blob) piece(offset, limit int64) (stamp, filling []byte) {
	limit = min(limit, b.Size-offset)
	page, within := offset/pageSize, offset%pageSize
	if within < stampSize {
		stamp = binary.BigEndian.AppendUint64(make([]byte, 0, stampSize), b.Seed)
		stamp = binary.BigEndian.AppendUint64(stamp, uint64(page))[within:]
		stamp = stamp[:min(int64(len(stamp)), limit)]
		limit -= int64(len(stamp))
		within += int64(len(stamp))
	}
	start := page % patternPages * pageSize
	return stamp, pattern()[start+within : start+within+min(limit, pageSize-within)]
}

// Reader reads the blob from its beginning.
func (b Blob) Reader() *io.SectionReader { return io.NewSectionReader(b, 0, b.Size) }

// Bytes are all of the blob, for small ones.
func (b Blob) Bytes() []byte {
	content := make([]byte, b.Size)
	b.read(content, 0)
	return content
}

// Digest is the SHA-256 of the content.
func (b Blob) Digest() digest.Digest {
	hash := sha256.New()
	buffer := make([]byte, min(b.Size, patternPages*pageSize))
	for offset := int64(0); offset < b.Size; {
		n := b.read(buffer, offset)
		hash.Write(buffer[:n])
		offset += int64(n)
	}
	return digest.NewDigest(digest.SHA256, hash)
}
