package image

import (
	"iter"

	"github.com/opencontainers/go-digest"
)

// Pool is many small blobs of one repository, with no manifest that names them.
type Pool struct {
	Repository string `json:"repository"`
	Count      int    `json:"count"`
	// Size of each blob in bytes; from 16 on no two are the same.
	Size int64 `json:"size"`
}

// Blob is one of the pool's, from 0 to Count-1.
func (p Pool) Blob(i int) Blob {
	return Blob{Seed: seed(p.Repository) + uint64(i), Size: p.Size}
}

// Every gives count of the pool's blobs, spread evenly over it, under their digests. Count
// is at most the pool's.
func (p Pool) Every(count int) iter.Seq2[digest.Digest, Blob] {
	return func(yield func(digest.Digest, Blob) bool) {
		for i := range count {
			b := p.Blob(int(int64(i) * int64(p.Count) / int64(count)))
			if !yield(digest.FromBytes(b.Bytes()), b) {
				return
			}
		}
	}
}
