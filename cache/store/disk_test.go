package store_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/berth-cache/berth/cache/store"
	"github.com/berth-cache/berth/cache/storetest"
)

func TestDiskSuite(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store { return openDisk(t, t.TempDir()) })
}

func TestReopen(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made")
	c, gone := storetest.Random(1, 70_000), storetest.Random(2, 100)
	s := openDisk(t, dir)
	mustKeep(t, s, c)
	mustKeep(t, s, gone)
	if err := s.Delete(t.Context(), gone.Digest); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	s = openDisk(t, dir)
	wantWhole(t, s, c.Digest)
	wantNotFound(t, s, gone.Digest)
	wantUsage(t, s, store.Usage{Objects: 1, Bytes: 70_000})
}

func TestLeftoversGo(t *testing.T) {
	dir := t.TempDir()
	s := openDisk(t, dir)
	staged, err := s.Stage(t.Context(), 2<<20)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := staged.Write([]byte("never finished")); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	if err := staged.Discard(); err != nil {
		t.Errorf("Discard after Close: %v", err)
	}
	if left := files(t, filepath.Join(dir, "staging")); len(left) != 1 {
		t.Fatalf("staging holds %q, want the one file", left)
	}
	openDisk(t, dir)
	if left := files(t, filepath.Join(dir, "staging")); len(left) != 0 {
		t.Errorf("staging holds %q after a start", left)
	}
}

// TestDisagreement does to the files what crashes and people do, and asks afterwards.
func TestDisagreement(t *testing.T) {
	c := storetest.Random(1, 70_000)
	none := storetest.Random(2, 0)
	whole := store.Usage{Objects: 1, Bytes: 70_000}
	for _, test := range []struct {
		name    string
		content storetest.Content
		commit  bool
		harm    func(file string) error
		found   bool
		usage   store.Usage
	}{
		{"record without file", c, true, os.Remove, false, store.Usage{}},
		{"file without record", c, false, func(file string) error { return os.WriteFile(file, c.Bytes, 0o600) }, true, whole},
		{"empty file without record", c, false, func(file string) error { return os.WriteFile(file, nil, 0o600) }, false, store.Usage{}},
		{"empty content without record", none, false, func(file string) error { return os.WriteFile(file, nil, 0o600) }, true, store.Usage{Objects: 1}},
		{"folder in its place", c, false, func(file string) error { return os.Mkdir(file, 0o700) }, false, store.Usage{}},
		{"file too short", c, true, func(file string) error { return os.Truncate(file, 69_999) }, false, store.Usage{}},
		{"file too long", c, true, func(file string) error { return os.Truncate(file, 70_001) }, false, store.Usage{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			s := openDisk(t, dir)
			hex := test.content.Digest.Encoded()
			file := filepath.Join(dir, "sha256", hex[:2], hex)
			if test.commit {
				mustKeep(t, s, test.content)
			} else if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := test.harm(file); err != nil {
				t.Fatal(err)
			}
			if test.found {
				wantWhole(t, s, test.content.Digest)
			} else {
				wantNotFound(t, s, test.content.Digest)
				if _, err := os.Lstat(file); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("the file is still there: %v", err)
				}
			}
			wantUsage(t, s, test.usage)
			mustKeep(t, s, test.content)
			wantWhole(t, s, test.content.Digest)
		})
	}
}

// TestStatFindsUnrecorded: Stat looks at the file system where the index knows nothing.
func TestStatFindsUnrecorded(t *testing.T) {
	dir := t.TempDir()
	s := openDisk(t, dir)
	c := storetest.Random(1, 100)
	hex := c.Digest.Encoded()
	if err := os.MkdirAll(filepath.Join(dir, "sha256", hex[:2]), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "sha256", hex[:2], hex), c.Bytes, 0o600); err != nil {
		t.Fatal(err)
	}
	if size, err := s.Stat(t.Context(), c.Digest); err != nil || size != 100 {
		t.Errorf("Stat: %d, %v, want 100", size, err)
	}
	wantUsage(t, s, store.Usage{Objects: 1, Bytes: 100})
}

func TestLayout(t *testing.T) {
	dir := t.TempDir()
	s := openDisk(t, dir)
	c := storetest.Random(1, 100)
	long := digest.SHA512.FromBytes(c.Bytes)
	mustKeep(t, s, c)
	mustKeep(t, s, storetest.Content{Digest: long, Bytes: c.Bytes})
	for _, d := range []digest.Digest{c.Digest, long} {
		file := filepath.Join(dir, d.Algorithm().String(), d.Encoded()[:2], d.Encoded())
		if b, err := os.ReadFile(file); err != nil || string(b) != string(c.Bytes) {
			t.Errorf("%s: %d bytes, %v", file, len(b), err)
		}
	}
}

// TestStagedAfterCommit: a follower that is late opens what was committed.
func TestStagedAfterCommit(t *testing.T) {
	dir := t.TempDir()
	s := openDisk(t, dir)
	c := storetest.Random(1, 3000)
	var infos []os.FileInfo
	for range 2 {
		staged, err := s.Stage(t.Context(), 3000)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := staged.Write(c.Bytes); err != nil {
			t.Fatal(err)
		}
		if err := staged.Commit(t.Context(), c.Digest); err != nil {
			t.Fatal(err)
		}
		wantStaged(t, staged, c)
		info, err := os.Stat(filepath.Join(dir, "sha256", c.Digest.Encoded()[:2], c.Digest.Encoded()))
		if err != nil {
			t.Fatal(err)
		}
		infos = append(infos, info)
	}
	if !os.SameFile(infos[0], infos[1]) {
		t.Error("the second commit replaced the first one's file")
	}
}

// TestFailedCommit: the content is still staged, readable, and goes with Discard.
func TestFailedCommit(t *testing.T) {
	dir := t.TempDir()
	s := openDisk(t, dir)
	c := storetest.Random(1, 3000)
	staged, err := s.Stage(t.Context(), 3000)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := staged.Write(c.Bytes); err != nil {
		t.Fatal(err)
	}
	touch(t, filepath.Join(dir, "sha256"))
	if err := staged.Commit(t.Context(), c.Digest); err == nil {
		t.Fatal("Commit: no error, with a file in place of the folder")
	}
	wantStaged(t, staged, c)
	wantUsage(t, s, store.Usage{})
	if err := staged.Discard(); err != nil {
		t.Error(err)
	}
	if left := files(t, filepath.Join(dir, "staging")); len(left) != 0 {
		t.Errorf("staging holds %q after Discard", left)
	}
}

// TestFolderReplaced: the folders are kept open, yet what is really there is found.
func TestFolderReplaced(t *testing.T) {
	dir := t.TempDir()
	s := openDisk(t, dir)
	c := storetest.Random(1, 100)
	mustKeep(t, s, c)
	wantWhole(t, s, c.Digest)
	for _, tree := range []string{"sha256", "staging"} {
		if err := os.RemoveAll(filepath.Join(dir, tree)); err != nil {
			t.Fatal(err)
		}
	}
	wantNotFound(t, s, c.Digest)
	mustKeep(t, s, c)
	wantWhole(t, s, c.Digest)
}

// TestSendfile holds what makes sending cheap: the kernel needs an *os.File.
func TestSendfile(t *testing.T) {
	s := openDisk(t, t.TempDir())
	c := storetest.Random(1, 100)
	mustKeep(t, s, c)
	r, _, err := s.Open(t.Context(), c.Digest)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, ok := r.(*os.File); !ok {
		t.Errorf("Open gives a %T", r)
	}
}

func TestClosed(t *testing.T) {
	s := openDisk(t, t.TempDir())
	c := storetest.Random(1, 70_000)
	mustKeep(t, s, c)
	r, _, err := s.Open(t.Context(), c.Digest)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	staged, err := s.Stage(t.Context(), -1)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { discarded(t, staged) }()
	mustClose(t, s)
	mustClose(t, s)
	if b, err := io.ReadAll(r); err != nil || len(b) != 70_000 {
		t.Errorf("open content after Close: %d bytes, %v", len(b), err)
	}
	_, _, openErr := s.Open(t.Context(), c.Digest)
	_, statErr := s.Stat(t.Context(), c.Digest)
	_, stageErr := s.Stage(t.Context(), -1)
	_, readErr := staged.Open()
	for call, err := range map[string]error{
		"Open": openErr, "Stat": statErr, "Stage": stageErr, "Staged.Open": readErr,
		"Delete": s.Delete(t.Context(), c.Digest), "Commit": staged.Commit(t.Context(), c.Digest),
	} {
		if !errors.Is(err, store.ErrClosed) {
			t.Errorf("%s: %v, want ErrClosed", call, err)
		}
	}
}

// TestCloseAgainstCommits: what a Commit promised before Close is there afterwards.
func TestCloseAgainstCommits(t *testing.T) {
	dir := t.TempDir()
	s := openDisk(t, dir)
	var (
		workers sync.WaitGroup
		mu      sync.Mutex // guards kept
		kept    []digest.Digest
	)
	first := make(chan struct{}, 4)
	for w := range uint64(4) {
		workers.Go(func() {
			for i := uint64(0); ; i++ {
				c := storetest.Random(w*1000+i, 3000)
				err := keep(s, c)
				if errors.Is(err, store.ErrClosed) {
					return
				}
				if err != nil {
					t.Errorf("commit: %v", err)
					return
				}
				mu.Lock()
				kept = append(kept, c.Digest)
				mu.Unlock()
				if i == 0 {
					first <- struct{}{}
				}
			}
		})
	}
	<-first
	mustClose(t, s)
	workers.Wait()
	s = openDisk(t, dir)
	for _, d := range kept {
		wantWhole(t, s, d)
	}
}

func TestOpenDiskErrors(t *testing.T) {
	for _, test := range []struct {
		name string
		dir  func(t *testing.T, parent string) string
		want string
	}{
		{"missing parent", func(_ *testing.T, parent string) string { return filepath.Join(parent, "none", "dir") }, "its parent does not exist"},
		{"file in its place", func(t *testing.T, parent string) string { return touch(t, filepath.Join(parent, "dir")) }, "a file is in the way"},
		{"file in place of its parent", func(t *testing.T, parent string) string {
			return filepath.Join(touch(t, filepath.Join(parent, "dir")), "dir")
		}, "a file is in the way"},
		{"no right to write", func(t *testing.T, parent string) string {
			if os.Geteuid() == 0 {
				t.Skip("root may write anywhere")
			}
			dir := filepath.Join(parent, "dir")
			if err := os.Mkdir(dir, 0o500); err != nil {
				t.Fatal(err)
			}
			return dir
		}, "not usable by user"},
		{"index that is none", func(t *testing.T, parent string) string {
			if err := os.WriteFile(filepath.Join(parent, "index.db"), []byte(strings.Repeat("nonsense", 2000)), 0o600); err != nil {
				t.Fatal(err)
			}
			return parent
		}, "index.db"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := test.dir(t, t.TempDir())
			s, err := store.OpenDisk(dir, store.DiskOptions{})
			if err == nil {
				mustClose(t, s)
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %q, want it to name %q and %q", err, dir, test.want)
			}
		})
	}
}
