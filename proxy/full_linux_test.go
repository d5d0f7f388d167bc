package proxy_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A file system that is really full, for the state as well.
func TestFullFileSystem(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=4m"); err != nil {
		t.Skipf("a small file system needs root: %v", err)
	}
	t.Cleanup(func() { check(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	r := newRig(t, plan{upstreams: []far{{name: "hub"}}, dir: dir})
	hub := r.hubs["hub"]
	small, large := noise(1, 200_000), noise(2, 8<<20)
	first := hub.AddImage("app", "1", small, large)
	image := first
	pull := func() {
		t.Helper()
		r.pulled(manifestPath("app", "1"), image.Manifest)
		r.pulled(blobPath("app", image.Layers[0]), small)
		r.pulled(blobPath("app", image.Layers[1]), large)
	}
	pull()
	if n := r.values()["berth_unstored_pulls_total{reason=full}"]; n != 1 {
		t.Errorf("%v unstored pulls are counted", n)
	}
	if a := r.pulled(blobPath("app", image.Layers[0]), small); a.Header.Get("Cache-Status") != "berth; hit" {
		t.Errorf("what fits: %s", a.Header.Get("Cache-Status"))
	}
	stuffed(t, filepath.Join(dir, "stuffing"))
	image = hub.AddImage("app", "2", noise(3, 100_000), noise(4, 2<<20))
	r.pulled(manifestPath("app", "2"), image.Manifest)
	r.pulled(blobPath("app", image.Layers[0]), noise(3, 100_000))
	r.pulled(blobPath("app", image.Layers[1]), noise(4, 2<<20))
	r.pulled(manifestPath("app", "1"), first.Manifest)
}

// stuffed fills the file system that path is on.
func stuffed(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	check(t, err)
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4<<10))
	}
	if pathErr := err.(*os.PathError); pathErr.Err != syscall.ENOSPC { //nolint:errorlint // that is what it is
		t.Fatal(err)
	}
}
