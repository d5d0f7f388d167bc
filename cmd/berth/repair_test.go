package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/berth-cache/berth/upstream/upstreamtest"
)

// filled is a folder with berth.yaml and data that hold an image, of a Berth that stopped.
func filled(t *testing.T) (folder string, hub *upstreamtest.Registry, image upstreamtest.Image) {
	t.Helper()
	hub = upstreamtest.New(t)
	url := hub.Start(t)
	image = hub.AddImage("app", "1", noise(1, 300_000), noise(2, 200_000))
	folder = t.TempDir()
	p := start(t, folder, upstreamOf(url, ""))
	p.pulls(t, "app:1", image, image)
	p.wantObjects(t, 4)
	p.signal(t, syscall.SIGTERM)
	p.wantExit(t, 0)
	return folder, hub, image
}

func contentFile(folder string, d digest.Digest) string {
	return filepath.Join(folder, "data", "content", "sha256", d.Encoded()[:2], d.Encoded())
}

// wantCheck runs berth check in folder.
func wantCheck(t *testing.T, folder string, status int, wants []string, flags ...string) {
	t.Helper()
	if flags == nil {
		flags = []string{"--offline"}
	}
	got := runs(t, append(append([]string{"check"}, flags...), "--config", filepath.Join(folder, "berth.yaml"))...)
	if got.Status != status {
		t.Errorf("check %v: status %d, want %d\n%s%s", flags, got.Status, status, got.Out, got.Errors)
	}
	for _, want := range wants {
		if !strings.Contains(got.Out+got.Errors, want) {
			t.Errorf("check %v lacks %q:\n%s%s", flags, want, got.Out, got.Errors)
		}
	}
}

func TestRepairOfDamage(t *testing.T) {
	folder, hub, image := filled(t)
	layer := contentFile(folder, image.Layers[0])
	whole, err := os.ReadFile(layer)
	must(t, err)
	whole[1000] ^= 1
	must(t, os.WriteFile(layer, whole, 0o600))
	garbage := bytes.Repeat([]byte("no database "), 2000)
	for _, file := range []string{"state.db", "content/index.db"} {
		path := filepath.Join(folder, "data", file)
		must(t, os.WriteFile(path, garbage, 0o600))
		wantCheck(t, folder, 1, []string{path, "damaged", "berth check --repair"})
	}
	wantCheck(t, folder, 0, []string{
		"state.db.damaged-", "index.db.damaged-", "3 objects are whole", "1 were damaged and are removed",
	}, "--repair")
	aside, err := filepath.Glob(filepath.Join(folder, "data", "*.damaged-*"))
	must(t, err)
	if len(aside) != 1 {
		t.Fatalf("moved aside: %v", aside)
	}
	if b, err := os.ReadFile(aside[0]); err != nil || !bytes.Equal(b, garbage) {
		t.Errorf("what was moved aside: %d bytes, %v", len(b), err)
	}
	wantCheck(t, folder, 0, []string{"The data folder looks well"})
	must(t, os.Remove(filepath.Join(folder, "data", "content", "index.db")))
	wantCheck(t, folder, 0, []string{"The data folder looks well", "Content lies there that no index knows"})
	wantCheck(t, folder, 0, []string{"3 objects are whole", "0 were damaged"}, "--repair")

	hub.Reset()
	p := start(t, folder, upstreamOf(hub.Start(t), ""))
	p.pulls(t, "app:1", image, image)
	if n := hub.Count("GET blob"); n != 1 {
		t.Errorf("%d blobs were fetched again, want the damaged one", n)
	}
}

// What another user's Berth left is found before it is asked for.
func TestCheckOfFoldersOfAnotherUser(t *testing.T) {
	data := holding(t, "content/sha256/ab/x", "")
	for _, dir := range []string{data, filepath.Join(data, "content"), filepath.Join(data, "content", "sha256")} {
		must(t, os.Chmod(dir, 0o777)) //nolint:gosec // for the other user
	}
	config := written(t, "data: "+data+"\n")
	must(t, os.Chmod(config, 0o644)) //nolint:gosec // for the other user
	got := runsAs(t, 65534, "check", "--config", config)
	if want := filepath.Join(data, "content/sha256/ab") + ": not usable by user 65534 (it belongs to user 0)"; got.Status != 1 || !strings.Contains(got.Errors, want) {
		t.Errorf("status %d, errors %q; want 1 and %q", got.Status, got.Errors, want)
	}
}

// A limit that lets nothing be kept is told by the check, and by the log at the start.
func TestMinFreeThatLeavesNothing(t *testing.T) {
	folder := t.TempDir()
	config := upstreamOf(upstreamtest.New(t).Start(t), "") + "cache: {min_free: 1000000GiB}\n"
	p := start(t, folder, config)
	p.signal(t, syscall.SIGTERM)
	p.wantExit(t, 0)
	if want := "nothing can be kept within these limits"; strings.Count(p.log(), want) != 1 {
		t.Errorf("the log does not say once that %s:\n%s", want, p.log())
	}
	wantCheck(t, folder, 0, []string{"Nothing can be kept there", "cache.min_free"})
}

// A folder in use is left alone, and a check does not disturb who uses it.
func TestRepairOfAFolderInUse(t *testing.T) {
	folder := t.TempDir()
	hub := upstreamtest.New(t)
	p := start(t, folder, upstreamOf(hub.Start(t), ""))
	for range 3 {
		wantCheck(t, folder, 1, []string{"in use by another process (process ", "stop that one"}, "--repair")
		wantCheck(t, folder, 0, []string{"The data folder is in use by a Berth that runs"})
	}
	image := hub.AddImage("app", "1", noise(1, 1000))
	p.pulls(t, "app:1", image, image)
	p.signal(t, syscall.SIGTERM)
	p.wantExit(t, 0)
	if strings.Contains(p.log(), "state in trouble") {
		t.Errorf("it was disturbed:\n%s", p.log())
	}
}

func TestRepairOfNothing(t *testing.T) {
	folder := t.TempDir()
	must(t, os.WriteFile(filepath.Join(folder, "berth.yaml"), []byte("data: data\n"), 0o600))
	wantCheck(t, folder, 0, []string{"There is no data folder"}, "--repair")
	wantCheck(t, folder, 0, []string{"The data folder does not exist yet"})
	if _, err := os.Stat(filepath.Join(folder, "data")); !os.IsNotExist(err) {
		t.Errorf("a check made the folder: %v", err)
	}
	must(t, os.WriteFile(filepath.Join(folder, "data"), nil, 0o600))
	wantCheck(t, folder, 1, []string{"data folder ", "a file is in the way"}, "--repair")
	wantCheck(t, folder, 1, []string{"data folder ", "a file is in the way"})
}

func TestRepairThatIsStopped(t *testing.T) {
	folder, hub, image := filled(t)
	index := filepath.Join(folder, "data", "content", "index.db")
	must(t, os.Truncate(index, 5000))
	ctx, stop := context.WithCancel(t.Context())
	stop()
	var out bytes.Buffer
	if err := run(ctx, []string{"check", "--repair", "--config", filepath.Join(folder, "berth.yaml")}, &out); err == nil {
		t.Errorf("it did not hear of its end:\n%s", out.String())
	}
	wantCheck(t, folder, 0, []string{"4 objects are whole"}, "--repair")
	hub.Reset()
	p := start(t, folder, upstreamOf(hub.Start(t), ""))
	p.pulls(t, "app:1", image, image)
	if n := hub.Count("GET blob"); n != 0 {
		t.Errorf("%d blobs were fetched again", n)
	}
}
