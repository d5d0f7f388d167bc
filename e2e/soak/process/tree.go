package process

import (
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"
)

// Tree is what lies in Berth's content folder, by the file names.
type Tree map[digest.Digest]int64

// Bytes is the size of all files together.
func (t Tree) Bytes() int64 {
	var total int64
	for _, size := range t {
		total += size
	}
	return total
}

// Tree lists the content files.
func (b *Berth) Tree(tb testing.TB) Tree {
	tb.Helper()
	tree := Tree{}
	err := filepath.WalkDir(filepath.Join(b.content(), "sha256"), func(name string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || err == nil && e.IsDir() {
			return nil
		}
		info, infoErr := e.Info()
		if errors.Is(infoErr, fs.ErrNotExist) {
			return err // evicted meanwhile
		}
		if err = errors.Join(err, infoErr); err != nil {
			return err
		}
		tree[digest.NewDigestFromEncoded(digest.SHA256, filepath.Base(name))] = info.Size()
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	return tree
}

// Damaged are the content files whose bytes are not what their name says. Nothing may
// change meanwhile.
func (b *Berth) Damaged(tb testing.TB) []digest.Digest {
	tb.Helper()
	var damaged []digest.Digest
	for d := range b.Tree(tb) {
		file, err := os.Open(b.place(d))
		if err != nil {
			tb.Fatal(err)
		}
		hash := sha256.New()
		_, err = io.Copy(hash, file)
		if err = errors.Join(err, file.Close()); err != nil {
			tb.Fatal(err)
		}
		if digest.NewDigest(digest.SHA256, hash) != d {
			damaged = append(damaged, d)
		}
	}
	return damaged
}

// Held tells whether content of this digest lies under its final name.
func (b *Berth) Held(d digest.Digest) bool {
	_, err := os.Lstat(b.place(d))
	return err == nil
}

// Staging is how many files are on their way in.
func (b *Berth) Staging(tb testing.TB) int {
	tb.Helper()
	entries, err := os.ReadDir(filepath.Join(b.content(), "staging"))
	if err != nil {
		tb.Fatal(err)
	}
	return len(entries)
}

func (b *Berth) content() string { return filepath.Join(b.Data(), "content") }

func (b *Berth) place(d digest.Digest) string {
	return filepath.Join(b.content(), "sha256", d.Encoded()[:2], d.Encoded())
}
