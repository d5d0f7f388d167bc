package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/berth-cache/berth/config"
)

// source is where the configuration comes from: a file, or nowhere.
type source struct{ path string }

// load reads the configuration. Its error is config.Faults, or one of usage.
func (s source) load() (*config.Config, error) {
	if s.path == "" {
		return config.Default(), nil
	}
	cfg, err := config.Load(s.path, os.LookupEnv)
	if _, faulty := errors.AsType[config.Faults](err); err != nil && !faulty {
		return nil, fmt.Errorf("%w; %w", err, errUsage)
	}
	return cfg, err
}

// again reads the configuration for another time, which a pipe does not have: it may never
// be written to again, and whoever opens it waits.
func (s source) again() (*config.Config, error) {
	if info, err := os.Stat(s.path); err == nil && !info.Mode().IsRegular() {
		return nil, config.Faults{{File: s.path, Message: "is no regular file, which can be read at the start alone; restart berth"}}
	}
	return config.Load(s.path, os.LookupEnv)
}

// maxFile is more than any file of a configuration may have.
const maxFile = 8 << 20

// asTheyAre are the files as they are now. Content alone counts: the time and the number of
// a file say nothing where a link is swapped or a save keeps both.
func asTheyAre(files []config.File) []config.File {
	now := make([]config.File, len(files))
	for i, f := range files {
		now[i] = config.File{Path: f.Path}
		info, err := os.Stat(f.Path)
		switch {
		case err != nil: // and a sum that none has
		case !info.Mode().IsRegular():
			now[i].Sum = f.Sum // a pipe, which can be read but once
		default:
			now[i].Sum = sum(f.Path)
		}
	}
	return now
}

// sum is of a file's content, or nothing where that cannot be read.
func sum(path string) (s [sha256.Size]byte) {
	f, err := os.Open(path)
	if err != nil {
		return s
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, io.LimitReader(f, maxFile)); err != nil {
		return s
	}
	return [sha256.Size]byte(h.Sum(nil))
}
