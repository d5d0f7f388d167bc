package cache

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestQuietReadsToTheEnd: whatever the kernel says of what it has in memory, all of the file
// is read, and no end is told before.
func TestQuietReadsToTheEnd(t *testing.T) {
	want := bytes.Repeat([]byte("0123456789"), 100_000)
	file := filepath.Join(t.TempDir(), "content")
	if err := os.WriteFile(file, want, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, cached := range map[string]func(f *os.File, b []byte, off int64) (int, error){
		"as it is":      readCached,
		"nothing":       func(*os.File, []byte, int64) (int, error) { return 0, nil },
		"not in memory": func(*os.File, []byte, int64) (int, error) { return -1, unix.EAGAIN },
		"not told":      func(*os.File, []byte, int64) (int, error) { return -1, unix.EOPNOTSUPP },
		"half, then none": func(f *os.File, b []byte, off int64) (int, error) {
			return readCached(f, b[:min(len(b), max(0, 500_000-int(off)))], off)
		},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			got, err := io.ReadAll(&quiet{file: f, cached: cached})
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("read %d bytes of %d, %v", len(got), len(want), err)
			}
		})
	}
}
