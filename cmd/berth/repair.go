package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/berth-cache/berth/cache"
	"github.com/berth-cache/berth/cache/store"
	"github.com/berth-cache/berth/config"
	"github.com/berth-cache/berth/state"
)

// reportEvery is how often a repair tells how far it is.
const reportEvery = 5 * time.Second

// repair makes a data folder usable again: state file and index, where they are damaged,
// move aside and begin anew, and all content is read and brought into the index again.
func repair(ctx context.Context, cfg *config.Config, out io.Writer) error {
	if _, err := os.Stat(cfg.Data); errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintf(out, "There is no data folder %s: nothing to repair.\n", cfg.Data)
		return nil
	}
	if err := dataFolder(cfg.Data); err != nil {
		return err
	}
	content := filepath.Join(cfg.Data, "content")
	// While the lock is held, no Berth starts; one that runs has it.
	release, err := store.LockFolder(content)
	if err != nil {
		return err
	}
	index := filepath.Join(content, "index.db")
	for _, file := range []string{filepath.Join(cfg.Data, "state.db"), index} {
		if err := setAside(ctx, file, out); err != nil {
			return errors.Join(err, release())
		}
	}
	if err := release(); err != nil {
		return err
	}
	return repairContent(ctx, content, out)
}

// setAside renames a database that makes no sense: a new one is made in its place.
func setAside(ctx context.Context, file string, out io.Writer) error {
	err := state.CheckFile(ctx, file)
	if !errors.Is(err, state.ErrDamaged) {
		return err
	}
	aside := file + ".damaged-" + time.Now().UTC().Format("20060102T150405Z")
	if renameErr := os.Rename(file, aside); renameErr != nil {
		return fmt.Errorf("%w; it cannot be moved aside: %w%s", err, renameErr, store.Hint(filepath.Dir(file), renameErr))
	}
	fmt.Fprintf(out, "%v\nIt was moved to %s; a new one takes its place.\n", err, aside)
	return nil
}

// repairContent opens the store, which makes a new index if there is none, and has all
// content read.
func repairContent(ctx context.Context, dir string, out io.Writer) (err error) {
	disk, err := store.OpenDisk(dir, store.DiskOptions{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, disk.Close()) }()
	recorded := disk.Usage()
	next := time.Now().Add(reportEvery)
	found, err := cache.Repair(ctx, disk, func(r cache.Repaired) {
		if now := time.Now(); now.After(next) {
			next = now.Add(reportEvery)
			fmt.Fprintf(out, "%d objects read, %d MiB\n", r.Objects, r.Bytes>>20)
		}
	})
	fmt.Fprintf(out, "%d objects are whole, %d MiB. %d were recorded before.\n"+
		"%d were damaged and are removed; they are fetched again when they are asked for. %d were recorded and had no file.\n",
		found.Objects, found.Bytes>>20, recorded.Objects, found.Damaged, found.Gone)
	if err != nil {
		if found.Failed == 0 {
			fmt.Fprintln(out, "It did not come to its end. What was done stays done; run it again.")
		}
		return err
	}
	return nil
}
