package storetest

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/berth-cache/berth/cache/store"
)

// Content is bytes and their digest.
type Content struct {
	Digest digest.Digest
	Bytes  []byte
}

// Random makes content of size bytes, the same for the same seed.
func Random(seed uint64, size int) Content {
	b := make([]byte, size)
	var key [32]byte
	key[0], key[1], key[2] = byte(seed), byte(seed>>8), byte(seed>>16)
	if _, err := rand.NewChaCha8(key).Read(b); err != nil {
		panic(err) // documented never to happen
	}
	return Content{Digest: digest.FromBytes(b), Bytes: b}
}

// stage writes b to a new Staged, in pieces, and discards it with the test.
func stage(t *testing.T, s store.Store, b []byte) store.Staged {
	t.Helper()
	staged, err := s.Stage(t.Context(), int64(len(b)))
	if err != nil {
		t.Fatalf("Stage: %v", err)
	}
	t.Cleanup(func() {
		if err := staged.Discard(); err != nil {
			t.Errorf("Discard: %v", err)
		}
	})
	write(t, staged, b)
	return staged
}

func write(t *testing.T, w io.Writer, b []byte) {
	t.Helper()
	for len(b) > 0 {
		n := min(len(b), 10_000)
		if m, err := w.Write(b[:n]); err != nil || m != n {
			t.Fatalf("Write of %d bytes: %d, %v", n, m, err)
		}
		b = b[n:]
	}
}

// commit stores c and discards afterwards, as every caller does.
func commit(t *testing.T, s store.Store, c Content) {
	t.Helper()
	staged := stage(t, s, c.Bytes)
	if err := staged.Commit(t.Context(), c.Digest); err != nil {
		t.Fatalf("Commit: %v", err)
	}
	if err := staged.Discard(); err != nil {
		t.Fatalf("Discard after Commit: %v", err)
	}
}

// open opens c and closes it with the test.
func open(t *testing.T, s store.Store, c Content) store.Content {
	t.Helper()
	r, size, err := s.Open(t.Context(), c.Digest)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { _ = r.Close() })
	if size != int64(len(c.Bytes)) {
		t.Fatalf("Open tells a size of %d, want %d", size, len(c.Bytes))
	}
	return r
}

func openStaged(t *testing.T, staged store.Staged) store.Content {
	t.Helper()
	r, err := staged.Open()
	if err != nil {
		t.Fatalf("Staged.Open: %v", err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// wantRead reads r to its present end and compares.
func wantRead(t *testing.T, r io.Reader, want []byte) {
	t.Helper()
	got, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("read %d bytes, not the %d written", len(got), len(want))
	}
}

func wantHeld(t *testing.T, s store.Store, c Content) {
	t.Helper()
	wantRead(t, open(t, s, c), c.Bytes)
	if size, err := s.Stat(t.Context(), c.Digest); err != nil || size != int64(len(c.Bytes)) {
		t.Fatalf("Stat: %d, %v, want %d", size, err, len(c.Bytes))
	}
}

func wantAbsent(t *testing.T, s store.Store, d digest.Digest) {
	t.Helper()
	if r, _, err := s.Open(t.Context(), d); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("Open: %v, %v, want ErrNotFound", r, err)
	}
	if _, err := s.Stat(t.Context(), d); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("Stat: %v, want ErrNotFound", err)
	}
}

func wantUsage(t *testing.T, s store.Store, contents ...Content) {
	t.Helper()
	var want store.Usage
	for _, c := range contents {
		want.Objects++
		want.Bytes += int64(len(c.Bytes))
	}
	if diff := cmp.Diff(want, s.Usage()); diff != "" {
		t.Fatalf("Usage (-want +got):\n%s", diff)
	}
}
