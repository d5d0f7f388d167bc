package storetest

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/berth-cache/berth/cache/store"
)

func testBadDigests(t *testing.T, s store.Store) {
	hex := strings.Repeat("ab", 32)
	for _, bad := range []digest.Digest{
		"", ":", "sha256:", digest.Digest(hex), "sha256:../../../../etc/passwd",
		digest.Digest("sha256:" + strings.ToUpper(hex)), digest.Digest("sha256:" + hex[1:]),
		digest.Digest("sha256:" + hex + "ab"), digest.Digest("sha256:" + hex[2:] + "/."),
		digest.Digest("sha512:" + hex), digest.Digest("md5:" + hex[:32]), digest.Digest("../" + hex),
		digest.Digest("sha256:" + hex[:62] + "\x00a"), digest.Digest("SHA256:" + hex), digest.Digest(" sha256:" + hex),
	} {
		if _, _, err := s.Open(t.Context(), bad); err == nil || errors.Is(err, store.ErrNotFound) {
			t.Errorf("Open %q: %v, want a refusal", bad, err)
		}
		if _, err := s.Stat(t.Context(), bad); err == nil || errors.Is(err, store.ErrNotFound) {
			t.Errorf("Stat %q: %v, want a refusal", bad, err)
		}
		if err := s.Delete(t.Context(), bad); err == nil {
			t.Errorf("Delete %q: no error", bad)
		}
		if err := stage(t, s, []byte("content")).Commit(t.Context(), bad); err == nil {
			t.Errorf("Commit %q: no error", bad)
		}
	}
	wantUsage(t, s)
}

func testContext(t *testing.T, s store.Store) {
	c, held := Random(1, 100), Random(2, 100)
	commit(t, s, held)
	gone, cancel := context.WithCancel(t.Context())
	staged := stage(t, s, c.Bytes)
	cancel()
	_, _, openErr := s.Open(gone, held.Digest)
	_, statErr := s.Stat(gone, held.Digest)
	_, stageErr := s.Stage(gone, 10)
	for call, err := range map[string]error{
		"Open": openErr, "Stat": statErr, "Stage": stageErr,
		"Delete": s.Delete(gone, held.Digest), "Commit": staged.Commit(gone, c.Digest),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v, want context.Canceled", call, err)
		}
	}
	wantAbsent(t, s, c.Digest)
	wantHeld(t, s, held)
	if err := staged.Commit(t.Context(), c.Digest); err != nil {
		t.Errorf("Commit after a Commit that was too late: %v", err)
	}
	wantHeld(t, s, c)
}
