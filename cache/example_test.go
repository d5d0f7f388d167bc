package cache_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/berth-cache/berth/cache"
	"github.com/berth-cache/berth/cache/store"
)

// text is a source of some bytes, which can begin anywhere.
type text string

func (t text) Open(_ context.Context, offset, _ int64) (cache.Part, error) {
	fmt.Println("asked for the bytes from", offset)
	return cache.Part{Body: io.NopCloser(strings.NewReader(string(t[offset:]))), Offset: offset, Total: int64(len(t))}, nil
}

// Content is asked of its source once; the digest decides whether it is kept.
func Example() {
	if err := example(); err != nil {
		fmt.Println(err)
	}
	// Output:
	// asked for the bytes from 0
	// a layer
	// a layer
}

func example() error {
	dir, err := os.MkdirTemp("", "berth")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	disk, err := store.OpenDisk(filepath.Join(dir, "content"), store.DiskOptions{})
	if err != nil {
		return err
	}
	defer disk.Close()
	contents := cache.NewContents(disk, cache.ContentOptions{})
	defer contents.Close(context.Background())

	layer := text("a layer")
	for range 2 {
		r, err := contents.Fill(context.Background(), digest.FromString("a layer"), layer)
		if err != nil {
			return err
		}
		all, err := io.ReadAll(r)
		r.Close()
		if err != nil {
			return err
		}
		fmt.Println(string(all))
	}
	return nil
}
