package cache_test

import (
	"context"
	"errors"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/berth-cache/berth/cache"
	"github.com/berth-cache/berth/cache/store"
	"github.com/berth-cache/berth/cache/storetest"
)

func TestPut(t *testing.T) {
	for _, algorithm := range []digest.Algorithm{digest.SHA256, digest.SHA512} {
		t.Run(algorithm.String(), func(t *testing.T) {
			s := openDisk(t)
			c := newContents(t, s, cache.ContentOptions{})
			manifest := storetest.Random(1, 5000)
			manifest.Digest = algorithm.FromBytes(manifest.Bytes)
			wantNotHeld(t, c, manifest.Digest)
			for range 2 {
				if err := c.Put(t.Context(), manifest.Digest, manifest.Bytes); err != nil {
					t.Fatal(err)
				}
				wantHeld(t, c, manifest)
			}
			if got := s.Usage(); got != (store.Usage{Objects: 1, Bytes: 5000}) {
				t.Errorf("Usage %+v", got)
			}
			if err := c.Delete(t.Context(), manifest.Digest); err != nil {
				t.Fatal(err)
			}
			wantNotHeld(t, c, manifest.Digest)
		})
	}
}

func TestPutRefuses(t *testing.T) {
	s := openDisk(t)
	c := newContents(t, s, cache.ContentOptions{})
	manifest := storetest.Random(1, 5000)
	for _, test := range []struct {
		name   string
		digest digest.Digest
		want   error
	}{
		{"another digest", storetest.Random(2, 10).Digest, cache.ErrMismatch},
		{"malformed", "sha256:../../x", store.ErrDigest},
		{"algorithm", digest.SHA384.FromBytes(manifest.Bytes), store.ErrDigest},
		{"none", "", store.ErrDigest},
	} {
		t.Run(test.name, func(t *testing.T) {
			if err := c.Put(t.Context(), test.digest, manifest.Bytes); !errors.Is(err, test.want) {
				t.Errorf("Put: %v, want %v", err, test.want)
			}
		})
	}
	if got := s.Usage(); got != (store.Usage{}) {
		t.Errorf("Usage %+v", got)
	}
}

func TestReadAllLimit(t *testing.T) {
	c := newContents(t, openDisk(t), cache.ContentOptions{})
	manifest := storetest.Random(1, 5000)
	if err := c.Put(t.Context(), manifest.Digest, manifest.Bytes); err != nil {
		t.Fatal(err)
	}
	if b, err := c.ReadAll(t.Context(), manifest.Digest, 4999); !errors.Is(err, cache.ErrTooLarge) {
		t.Errorf("ReadAll: %d bytes, %v, want ErrTooLarge", len(b), err)
	}
}

// TestStoreInTrouble: its errors are told from content that is not there, and a Commit
// that failed although it was applied does no harm.
func TestStoreInTrouble(t *testing.T) {
	errDisk := errors.New("input/output error")
	for _, test := range []struct {
		name, op string
		apply    bool
		held     bool
	}{
		{"open", "open", false, true},
		{"stage", "stage", false, false},
		{"write", "write", false, false},
		{"write applied", "write", true, false},
		{"commit", "commit", false, false},
		{"commit applied", "commit", true, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			ill := true
			s := &faulty{Store: openDisk(t), fault: func(op string, _ digest.Digest) (bool, error) {
				if ill && op == test.op {
					return test.apply, errDisk
				}
				return true, nil
			}}
			c := newContents(t, s, cache.ContentOptions{})
			manifest := storetest.Random(1, 5000)
			if err := c.Put(t.Context(), manifest.Digest, manifest.Bytes); test.op != "open" {
				if !errors.Is(err, cache.ErrStore) || !errors.Is(err, errDisk) {
					t.Errorf("Put: %v, want ErrStore", err)
				}
			} else if _, err := c.Open(t.Context(), manifest.Digest); !errors.Is(err, cache.ErrStore) || errors.Is(err, cache.ErrNotHeld) {
				t.Errorf("Open: %v, want ErrStore", err)
			}
			ill = false
			if test.held {
				wantHeld(t, c, manifest)
			} else {
				wantNotHeld(t, c, manifest.Digest)
			}
			if err := c.Put(t.Context(), manifest.Digest, manifest.Bytes); err != nil {
				t.Errorf("Put afterwards: %v", err)
			}
			wantHeld(t, c, manifest)
		})
	}
}

func TestContextEnded(t *testing.T) {
	c := newContents(t, openDisk(t), cache.ContentOptions{})
	content := storetest.Random(1, 5000)
	if err := c.Put(t.Context(), content.Digest, content.Bytes); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r, err := c.Open(ctx, content.Digest)
	if err != nil {
		t.Fatal(err)
	}
	defer closeReader(t, r)
	cancel()
	_, readErr := r.Read(make([]byte, 10))
	_, statErr := c.Stat(ctx, content.Digest)
	_, openErr := c.Open(ctx, content.Digest)
	src := &source{content: content.Bytes}
	_, fillErr := c.Fill(ctx, content.Digest, src)
	for call, err := range map[string]error{"Read": readErr, "Stat": statErr, "Open": openErr, "Fill": fillErr, "Err": r.Err()} {
		if !errors.Is(err, context.Canceled) || errors.Is(err, cache.ErrStore) {
			t.Errorf("%s: %v, want context.Canceled", call, err)
		}
	}
	src.wantOpens(t)
	src.wantClosed(t)
}
