package store_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/berth-cache/berth/cache/store"
	"github.com/berth-cache/berth/cache/storetest"
)

// objects lists all that is recorded behind after.
func objects(t *testing.T, s *store.Disk, after digest.Digest) []store.Object {
	t.Helper()
	var all []store.Object
	for o, err := range s.Objects(t.Context(), after) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, o)
	}
	return all
}

// fileDigests lists, sorted, what Files yields.
func fileDigests(t *testing.T, s *store.Disk) []digest.Digest {
	t.Helper()
	var all []digest.Digest
	for d, err := range s.Files(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, d)
	}
	slices.Sort(all)
	return all
}

// TestObjects lists more than one transaction's worth, from the start and from any digest.
func TestObjects(t *testing.T) {
	s := openDisk(t, t.TempDir())
	want := map[digest.Digest]int64{}
	for i := range 600 {
		c := storetest.Random(uint64(i), i)
		if i%7 == 0 {
			c.Digest = digest.SHA512.FromBytes(c.Bytes)
		}
		mustKeep(t, s, c)
		want[c.Digest] = int64(i)
	}
	all := objects(t, s, "")
	got := map[digest.Digest]int64{}
	for i, o := range all {
		got[o.Digest] = o.Size
		if i%150 == 0 || i == len(all)-1 {
			if diff := cmp.Diff(all[i+1:], objects(t, s, o.Digest)); len(all[i+1:]) > 0 && diff != "" {
				t.Errorf("behind %s (-want +got):\n%s", o.Digest, diff)
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" || len(all) != len(got) {
		t.Errorf("%d objects (-want +got):\n%s", len(all), diff)
	}
	for _, err := range s.Objects(t.Context(), "") {
		if err != nil {
			t.Error(err)
		}
		break // must be allowed to stop
	}
}

func TestObjectsEnd(t *testing.T) {
	s := openDisk(t, t.TempDir())
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for _, test := range []struct {
		name  string
		ctx   context.Context
		after digest.Digest
		want  error
	}{
		{"context", gone, "", context.Canceled},
		{"digest", t.Context(), "sha256:none", store.ErrDigest},
	} {
		n := 0
		for _, err := range s.Objects(test.ctx, test.after) {
			if n++; !errors.Is(err, test.want) {
				t.Errorf("%s: %v, want %v", test.name, err, test.want)
			}
		}
		if n != 1 {
			t.Errorf("%s: %d values, want the error alone", test.name, n)
		}
	}
}

// TestFiles finds what lies in the tree, recorded or not, and nothing else.
func TestFiles(t *testing.T) {
	dir := t.TempDir()
	s := openDisk(t, dir)
	kept, long, stray := storetest.Random(1, 100), storetest.Random(2, 100), storetest.Random(3, 100)
	long.Digest = digest.SHA512.FromBytes(long.Bytes)
	mustKeep(t, s, kept)
	mustKeep(t, s, long)
	hex := stray.Digest.Encoded()
	folder := filepath.Join(dir, "sha256", hex[:2])
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{hex, hex[:60], "notes.txt", "00" + hex[2:] + "0"} {
		if err := os.WriteFile(filepath.Join(folder, name), stray.Bytes, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := []digest.Digest{kept.Digest, long.Digest, stray.Digest}
	slices.Sort(want)
	if diff := cmp.Diff(want, fileDigests(t, s)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if len(objects(t, s, "")) != 2 {
		t.Error("listing the files recorded one")
	}
	if size, err := s.Stat(t.Context(), stray.Digest); err != nil || size != 100 || len(objects(t, s, "")) != 3 {
		t.Errorf("Stat of a stray file: %d, %v", size, err)
	}
	for _, err := range s.Files(t.Context()) {
		if err != nil {
			t.Error(err)
		}
		break // must be allowed to stop
	}
	mustClose(t, s)
	for _, err := range s.Files(t.Context()) {
		if !errors.Is(err, store.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	}
}
