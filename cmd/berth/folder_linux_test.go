package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// mounted is a small file system of its own, read-only if wanted.
func mounted(t *testing.T, flags uintptr, options string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", flags, options); err != nil {
		t.Skipf("a file system of its own needs root: %v", err)
	}
	t.Cleanup(func() { must(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	return dir
}

// Whatever is wrong with the data folder, the error is one line that names the folder or
// the file and says what to do.
func TestDataFolderThatCannotBeUsed(t *testing.T) {
	join := filepath.Join
	for name, test := range map[string]struct {
		prepare func(t *testing.T) (data string)
		user    uint32
		want    []string
	}{
		"below a file":     {func(t *testing.T) string { return join(written(t, ""), "data") }, 0, []string{"data folder ", "a file is in the way", "`data:`"}},
		"a file":           {func(t *testing.T) string { return written(t, "") }, 0, []string{"data folder ", "a file is in the way", "`data:`"}},
		"a dangling link":  {func(t *testing.T) string { return linked(t, "/nowhere/at/all") }, 0, []string{"data folder ", "a link that leads nowhere", "`data:`"}},
		"read-only":        {func(t *testing.T) string { return mounted(t, unix.MS_RDONLY, "") }, 0, []string{"data folder ", "mount it writable"}},
		"below read-only":  {func(t *testing.T) string { return join(mounted(t, unix.MS_RDONLY, ""), "data") }, 0, []string{"data folder ", "mount it writable"}},
		"full":             {func(t *testing.T) string { d := mounted(t, 0, "size=64k"); stuffed(t, d); return d }, 0, []string{"full: free some space"}},
		"another's":        {func(t *testing.T) string { return private(t, "") }, 65534, []string{"data folder ", "not usable by user 65534 (it belongs to user 0)", "change its owner"}},
		"below another's":  {func(t *testing.T) string { return join(private(t, ""), "data") }, 65534, []string{"data folder ", "not usable by user 65534"}},
		"content a file":   {func(t *testing.T) string { return holding(t, "content", "") }, 0, []string{"content folder ", "a file is in the way"}},
		"state a folder":   {func(t *testing.T) string { return holding(t, "state.db/x", "") }, 0, []string{"state.db", "a folder is in the way"}},
		"state damaged":    {func(t *testing.T) string { return holding(t, "state.db", strings.Repeat("no database ", 2000)) }, 0, []string{"state.db", "file damaged", "berth check --repair"}},
		"state cut":        {func(t *testing.T) string { return holding(t, "state.db", "short") }, 0, []string{"state.db", "file damaged", "berth check --repair"}},
		"index damaged":    {func(t *testing.T) string { return holding(t, "content/index.db", strings.Repeat("no database ", 2000)) }, 0, []string{"index.db", "berth check --repair"}},
		"index a folder":   {func(t *testing.T) string { return holding(t, "content/index.db/x", "") }, 0, []string{"index.db", "a folder is in the way"}},
		"state another's":  {func(t *testing.T) string { return private(t, "state.db") }, 65534, []string{"state.db", "not usable by user 65534 (it belongs to user 0)"}},
		"lock is a folder": {func(t *testing.T) string { return holding(t, "content/lock/x", "") }, 0, []string{"content folder", "a folder is in the way"}},
	} {
		t.Run(name, func(t *testing.T) {
			data := test.prepare(t)
			config := written(t, "listen: 127.0.0.1:0\nops: \"\"\ndata: "+data+"\n")
			must(t, os.Chmod(config, 0o644)) //nolint:gosec // for the other user
			got := runsAs(t, test.user, "serve", "--config", config)
			if got.Status != 1 || strings.Count(got.Errors, "\n") != 1 {
				t.Errorf("status %d, errors %q; want 1 and one line", got.Status, got.Errors)
			}
			for _, want := range append(test.want, data) {
				if !strings.Contains(got.Errors, want) {
					t.Errorf("%q lacks %q", got.Errors, want)
				}
			}
		})
	}
}

// runsAs is runs as another user, unless that is 0.
func runsAs(t *testing.T, user uint32, args ...string) ended {
	t.Helper()
	if user == 0 {
		return runs(t, args...)
	}
	if os.Geteuid() != 0 {
		t.Skip("only root can be somebody else")
	}
	c := command(t, args...)
	// Others may not look into the folders that go test makes.
	open := t.TempDir()
	must(t, os.Chmod(filepath.Dir(open), 0o755)) //nolint:gosec // for the other user
	c.Path = filepath.Join(open, "berth")
	binary, err := os.ReadFile(os.Args[0])
	must(t, err)
	must(t, os.WriteFile(c.Path, binary, 0o755)) //nolint:gosec // to be run
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}}
	c.Dir = "/"
	var out, errs strings.Builder
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Run(); err != nil && c.ProcessState == nil {
		t.Fatal(err)
	}
	return ended{c.ProcessState.ExitCode(), out.String(), errs.String()}
}

// holding is a data folder with one file.
func holding(t *testing.T, file, text string) string {
	t.Helper()
	data := t.TempDir()
	path := filepath.Join(data, file)
	must(t, os.MkdirAll(filepath.Dir(path), 0o700))
	must(t, os.WriteFile(path, []byte(text), 0o600))
	return data
}

// private is a folder that only its owner may write to, or one for everybody in which
// that is true of a file.
func private(t *testing.T, file string) string {
	t.Helper()
	if file != "" {
		data := holding(t, file, "")
		must(t, os.Chmod(data, 0o777)) //nolint:gosec // for the other user
		return data
	}
	data := t.TempDir()
	must(t, os.Chmod(data, 0o755)) //nolint:gosec // for the other user
	return data
}

func linked(t *testing.T, to string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "link")
	must(t, os.Symlink(to, path))
	return path
}

// stuffed leaves no room on the file system of dir.
func stuffed(t *testing.T, dir string) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "stuffing"))
	must(t, err)
	defer f.Close()
	for range 1 << 12 {
		if _, err := f.Write(make([]byte, 4<<10)); err != nil {
			return
		}
	}
	t.Fatal("it took 16 MiB")
}
