package main

import (
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/berth-cache/berth/cache/store"
)

// dataFolder makes the data folder if need be, and sees that this user may write there.
// Its error names the folder and the way out.
func dataFolder(dir string) error {
	err := os.MkdirAll(dir, 0o750)
	if err == nil {
		if err = unix.Access(dir, unix.R_OK|unix.W_OK|unix.X_OK); err != nil {
			err = &fs.PathError{Op: "access", Path: dir, Err: err}
		}
	}
	if err != nil {
		return fmt.Errorf("data folder %s%s, or choose another with `data:`: %w", dir, store.Hint(dir, err), err)
	}
	return nil
}
