package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/berth-cache/berth/cache/store"
	"github.com/berth-cache/berth/config"
	"github.com/berth-cache/berth/state"
)

// dataFolder makes the data folder if need be, and sees that this user may write there.
// Its error names the folder and the way out.
func dataFolder(dir string) error {
	err := os.MkdirAll(dir, 0o750)
	if err == nil {
		err = usable(dir)
	}
	if err != nil {
		return fmt.Errorf("data folder %s%s, or choose another with `data:`: %w", dir, store.Hint(dir, err), err)
	}
	return nil
}

// usable tells whether dir is a folder that this user may use.
func usable(dir string) error {
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		return err
	case !info.IsDir():
		err = syscall.ENOTDIR
	default:
		err = unix.Access(dir, unix.R_OK|unix.W_OK|unix.X_OK)
	}
	if err != nil {
		return &fs.PathError{Op: "access", Path: dir, Err: err}
	}
	return nil
}

// lookBound is how long berth check reads in a file of the data folder: longer than that
// is for berth check --repair, and a Berth that starts meanwhile waits for it.
const lookBound = 300 * time.Millisecond

// dataCondition tells in a sentence how the data folder is, without changing or locking
// anything. The error is what would keep Berth from using it.
func dataCondition(ctx context.Context, cfg *config.Config) (string, error) {
	dir := cfg.Data
	switch err := usable(dir); {
	case errors.Is(err, fs.ErrNotExist):
		return "The data folder does not exist yet: it is made at the start.", nil
	case err != nil:
		return "", fmt.Errorf("data folder %s%s: %w", dir, store.Hint(dir, err), err)
	}
	used, err := lookInto(ctx, dir)
	if err != nil {
		return "", err
	}
	if err := foldersBelow(filepath.Join(dir, "content")); err != nil {
		return "", err
	}
	said := "The data folder looks well"
	if used {
		said = "The data folder is in use by a Berth that runs"
	}
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return "", fmt.Errorf("data folder %s: %w", dir, err)
	}
	said += fmt.Sprintf("; %.1f GiB are free.", float64(s.Bavail)*float64(s.Bsize)/(1<<30))
	if all := float64(s.Blocks) * float64(s.Bsize); all <= float64(cfg.Cache.MinFree) {
		said += fmt.Sprintf("\nNothing can be kept there: the file system has %.1f GiB in all, and cache.min_free wants as much to stay free. Lower it.", all/(1<<30))
	}
	content := filepath.Join(dir, "content")
	if info, err := os.Stat(filepath.Join(content, "index.db")); (err != nil || info.Size() == 0) && store.HasContent(content) {
		said += "\nContent lies there that no index knows, so that it does not count: berth check --repair makes a new index from it."
	}
	return said, nil
}

// lookInto looks into the databases in the data folder dir, as far as time allows, and
// tells whether a Berth that runs has one of them open. Its error is all damage found.
func lookInto(ctx context.Context, dir string) (used bool, err error) {
	var damage error
	for _, file := range []string{"state.db", "content/index.db"} {
		path := filepath.Join(dir, file)
		bounded, cancel := context.WithTimeout(ctx, lookBound)
		err := state.CheckFile(bounded, path)
		cancel()
		switch {
		case errors.Is(err, state.ErrInUse):
			used = true
		case errors.Is(err, state.ErrDamaged):
			damage = errors.Join(damage, fmt.Errorf("%w; stop Berth if it runs, then run berth check --repair", err))
		case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
		case err != nil:
			return used, fmt.Errorf("%w%s", err, store.Hint(path, err))
		}
	}
	return used, damage
}

// foldersBelow tells whether this user may use the folders of the content folder, such as
// those that a Berth of another user made.
func foldersBelow(content string) error {
	for _, pattern := range []string{"", "staging", "sha*", "sha*/??"} {
		found, err := filepath.Glob(filepath.Join(content, pattern))
		if err != nil {
			return err
		}
		for _, dir := range found {
			if err := usable(dir); err != nil {
				return fmt.Errorf("folder %s%s: %w", dir, store.Hint(dir, err), err)
			}
		}
	}
	return nil
}
