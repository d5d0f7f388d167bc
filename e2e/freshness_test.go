package e2e_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/berth-cache/berth/e2e/berth"
	"github.com/berth-cache/berth/e2e/image"
)

// errWrongBlob says that a client got something else than it asked for.
var errWrongBlob = errors.New("wrong blob")

// TestStale has every answer checked, takes the upstreams away and wants the last one.
func TestStale(t *testing.T) {
	t.Parallel()
	w := newWorld(t, berth.Upstream.Fresh)
	made := image.New(t, image.List, "stale")
	w.hub.Push(t, "library/app:1", made.Index)
	wantImage(t, w, "library/app", made)
	start := w.stop(t)
	defer start()
	wantImage(t, w, "library/app", made)
}

// TestRevalidation counts what one check of a tag costs while nothing has changed: a HEAD,
// which Docker Hub does not count as a pull.
func TestRevalidation(t *testing.T) {
	t.Parallel()
	w := newWorld(t, berth.Upstream.Fresh)
	made := image.New(t, image.List, "revalidation")
	w.hub.Push(t, "library/app:1", made.Index)
	wantImage(t, w, "library/app", made)
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		w.reset()
		got := mustSend(t, w.URL()+"/v2/library/app/manifests/1", request{Method: method})
		if got.Header.Get("Docker-Content-Digest") != made.Digest {
			t.Errorf("want %s; got %v", made.Digest, got)
		}
		if diff := cmp.Diff([]string{"HEAD /v2/library/app/manifests/1"}, w.requests()); diff != "" {
			t.Errorf("%s: requests upstream (-want +got):\n%s", method, diff)
		}
	}
}

// TestChanged moves a tag and wants the new image at the next pull.
func TestChanged(t *testing.T) {
	t.Parallel()
	w := newWorld(t, berth.Upstream.Fresh)
	for _, seed := range []string{"changed-old", "changed-new"} {
		made := image.New(t, image.List, seed)
		w.hub.Push(t, "library/app:1", made.Index)
		wantImage(t, w, "library/app", made)
	}
}

// TestRestart ends Berth and wants all that it held, with no upstream there.
func TestRestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, asIs)
	made := image.New(t, image.List, "restart")
	w.token.Push(t, "team/app:1", made.Index)
	wantImage(t, w, "team/app", made)
	start := w.stop(t)
	defer start()
	w.Restart(t)
	wantImage(t, w, "team/app", made)
}

// TestUnavailable wants 503 or 429 for what nobody can answer, and never "not found".
func TestUnavailable(t *testing.T) {
	t.Parallel()
	w := newWorld(t, asIs)
	start := w.stop(t)
	defer start()
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		got := mustSend(t, w.URL()+"/v2/library/app/manifests/1", request{Method: method})
		if got.StatusCode != http.StatusServiceUnavailable && got.StatusCode != http.StatusTooManyRequests {
			t.Errorf("want 503 or 429; got %v", got)
		}
	}
}

// TestOneFill has fifty clients ask for one cold layer at once: it is fetched once.
func TestOneFill(t *testing.T) {
	t.Parallel()
	w := newWorld(t, asIs)
	made := image.New(t, image.Gzip, "fill")
	w.hub.Push(t, "library/app:1", made.Index)
	w.reset()
	layer := made.Platforms["amd64"].Layers[0]
	var clients errgroup.Group
	for range 50 {
		clients.Go(func() error {
			got, err := send(t.Context(), w.URL()+"/v2/library/app/blobs/"+layer, request{})
			if err != nil {
				return err
			}
			sum := sha256.Sum256([]byte(got.Body))
			if digest := "sha256:" + hex.EncodeToString(sum[:]); got.StatusCode != http.StatusOK || digest != layer {
				return fmt.Errorf("%w: got %s with %s", errWrongBlob, got.Status, digest)
			}
			return nil
		})
	}
	if err := clients.Wait(); err != nil {
		t.Error(err)
	}
	if n := w.hub.Count("GET ", layer); n != 1 {
		t.Errorf("the layer was fetched %d times, want once: %q", n, w.hub.Requests())
	}
}

// wantImage asks for everything that an image consists of, beginning with the tag 1.
func wantImage(t *testing.T, w *world, repository string, want image.Image) {
	t.Helper()
	base := w.URL() + "/v2/" + repository
	paths := map[string]string{"/manifests/1": want.Digest, "/manifests/" + want.Digest: want.Digest}
	for _, platform := range want.Platforms {
		paths["/manifests/"+platform.Manifest] = platform.Manifest
	}
	for _, blob := range want.Blobs() {
		paths["/blobs/"+blob] = blob
	}
	for path, digest := range paths {
		got := get(t, base+path)
		sum := sha256.Sum256([]byte(got.Body))
		if sha := "sha256:" + hex.EncodeToString(sum[:]); got.StatusCode != http.StatusOK || sha != digest {
			t.Errorf("%s: want the content of %s; got %s: %v", path, digest, sha, got)
		}
	}
}
