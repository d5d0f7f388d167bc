package store_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/opencontainers/go-digest"

	"github.com/berth-cache/berth/cache/store"
)

// Content can be read by its digest from when it is committed, until it is deleted.
func Example() {
	if err := example(); err != nil {
		fmt.Println(err)
	}
	// Output:
	// a layer
	// true
}

func example() error {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "berth")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	disk, err := store.OpenDisk(dir, store.DiskOptions{Limits: store.Limits{MaxBytes: 1 << 30}})
	if err != nil {
		return err
	}
	defer disk.Close()

	const layer = "a layer"
	d := digest.FromString(layer) // that the bytes have it is the caller's to know
	staged, err := disk.Stage(ctx, int64(len(layer)))
	if err != nil {
		return err
	}
	_, err = io.WriteString(staged, layer)
	if err == nil {
		err = staged.Commit(ctx, d)
	}
	if err := errors.Join(err, staged.Discard()); err != nil { // after a Commit it only tidies up
		return err
	}

	content, size, err := disk.Open(ctx, d)
	if err != nil {
		return err
	}
	defer content.Close()
	held, err := io.ReadAll(io.LimitReader(content, size))
	if err != nil {
		return err
	}
	fmt.Println(string(held))
	if err := disk.Delete(ctx, d); err != nil {
		return err
	}
	_, _, err = disk.Open(ctx, d)
	fmt.Println(errors.Is(err, store.ErrNotFound))
	return nil
}
