package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/berth-cache/berth/upstream/upstreamtest"
)

// A disk that fills up under a Berth, and is still full at its next start, and then is
// read-only: what is held is served, all else passed through, and it starts and stops.
func TestFullDisk(t *testing.T) {
	disk := mounted(t, 0, "size=8m")
	hub := upstreamtest.New(t)
	keys := upstreamOf(hub.Start(t), "")
	image := hub.AddImage("app", "1", noise(1, 300_000), noise(2, 200_000))
	p := start(t, disk, keys)
	p.pulls(t, "app:1", image, image)
	p.wantObjects(t, 4)
	stuffed(t, disk)
	other := hub.AddImage("app", "2", noise(3, 3<<20), noise(4, 200_000))
	p.pulls(t, "app:2", other, other)
	hub.Reset()
	p.pulls(t, "app:1", image, image)
	if got := hub.Requests(); len(got) > 0 {
		t.Errorf("for what is held, the upstream was asked %q", got)
	}
	_, metrics, err := p.get(p.ops + "/metrics")
	must(t, err)
	if bytes.Contains(metrics, []byte("\nberth_unstored_pulls_total{reason=\"full\"} 0\n")) {
		t.Error("no unstored pull is counted")
	}
	if n := strings.Count(p.log(), `"msg":"content is not stored`); n != 1 {
		t.Errorf("%d lines say that content is not stored, want one", n)
	}
	p.signal(t, syscall.SIGTERM)
	p.wantExit(t, 0)

	p = start(t, disk, keys)
	p.pulls(t, "app:1", image, image)
	p.pulls(t, "app:2", other, other)
	must(t, os.Remove(filepath.Join(disk, "stuffing")))
	p.want(t, p.ops+"/healthz", 200, []byte("ok\n"))
	p.signal(t, syscall.SIGTERM)
	p.wantExit(t, 0)

	must(t, unix.Mount("", disk, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	got := runs(t, "serve", "--config", filepath.Join(disk, "berth.yaml"))
	if got.Status != 1 || !strings.Contains(got.Errors, "the file system is read-only: mount it writable") {
		t.Errorf("read-only: status %d, %s", got.Status, got.Errors)
	}
}
