package truth

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"

	"github.com/opencontainers/go-digest"
)

const (
	// markBytes begin every blob and make it the only one of its kind.
	markBytes = 16
	// period is how long the noise is that follows. No power of two is near a multiple of
	// it, so that bytes which were put in a wrong place show.
	period = 1<<20 + 1031
)

// noise is the same in every run.
var noise = sync.OnceValue(func() []byte {
	b := make([]byte, period)
	if _, err := rand.NewChaCha8([32]byte{'b', 'e', 'r', 't', 'h'}).Read(b); err != nil {
		panic(err) // it never fails
	}
	return b
})

// Blob is content of Size bytes, computed where it is read.
type Blob struct {
	Digest digest.Digest
	Size   int64
	mark   [markBytes]byte
	shift  int64
}

var _ io.ReaderAt = Blob{}

// newBlob returns the blob of a seed and a number. A size below the mark's cuts the mark.
func newBlob(seed, number uint64, size int64) Blob {
	b := Blob{Size: size, shift: int64(number * 7919 % period)}
	binary.BigEndian.PutUint64(b.mark[:], seed)
	binary.BigEndian.PutUint64(b.mark[8:], number)
	hash := sha256.New()
	if _, err := io.Copy(hash, b.Reader()); err != nil {
		panic(err) // neither side fails
	}
	b.Digest = digest.NewDigest(digest.SHA256, hash)
	return b
}

// ReadAt implements io.ReaderAt.
func (b Blob) ReadAt(p []byte, offset int64) (int, error) {
	if offset < 0 || offset >= b.Size {
		return 0, io.EOF
	}
	whole := len(p)
	p = p[:min(int64(whole), b.Size-offset)]
	n := 0
	if offset < markBytes {
		n = copy(p, b.mark[offset:])
	}
	for n < len(p) {
		at := (b.shift + offset + int64(n)) % period
		n += copy(p[n:], noise()[at:])
	}
	if n < whole {
		return n, io.EOF
	}
	return n, nil
}

// Reader reads all of the blob.
func (b Blob) Reader() *io.SectionReader { return io.NewSectionReader(b, 0, b.Size) }

// Section is length bytes from offset; they lie within the blob.
func (b Blob) Section(offset, length int64) []byte {
	section := make([]byte, length)
	if _, err := b.ReadAt(section, offset); err != nil && !errors.Is(err, io.EOF) {
		panic(fmt.Sprintf("section %d+%d of %d bytes: %v", offset, length, b.Size, err))
	}
	return section
}

// Differs compares got with the blob from offset on. It returns the offset of the first
// byte that is wrong or past the end, -1 if there is none.
func (b Blob) Differs(offset int64, got []byte) int64 {
	want := b.Section(offset, max(0, min(int64(len(got)), b.Size-offset)))
	if bytes.Equal(want, got) {
		return -1
	}
	for i := range want {
		if want[i] != got[i] {
			return offset + int64(i)
		}
	}
	return b.Size
}
