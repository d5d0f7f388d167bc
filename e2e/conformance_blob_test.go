package e2e_test

import (
	"crypto/sha512"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// content is n bytes in which no range of a few hundred looks like another.
func content(n int) string {
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		b.WriteString(strconv.Itoa(i) + ",")
	}
	return b.String()[:n]
}

// wantContent checks GET and HEAD of one piece of content.
func wantContent(t *testing.T, url, mediaType, body string) {
	t.Helper()
	got, headers := get(t, url), head(t, url)
	if got.StatusCode != http.StatusOK || got.Body != body {
		t.Errorf("want 200 and %d bytes; got %d: %v", len(body), len(got.Body), got)
	}
	if headers.StatusCode != http.StatusOK || headers.Body != "" {
		t.Errorf("want 200 and no body; got %v", headers)
	}
	if t.Failed() {
		return // what follows would only repeat it
	}
	for _, a := range []answer{got, headers} {
		if a.ContentLength != int64(len(body)) {
			t.Errorf("want Content-Length %d; got %v", len(body), a)
		}
		if a.Header.Get("Content-Type") != mediaType {
			t.Errorf("want exactly the type %s; got %v", mediaType, a)
		}
		digest := a.Header.Get("Docker-Content-Digest")
		if sum := sha512.Sum512([]byte(body)); digest != sha256Of(body) && digest != "sha512:"+hex.EncodeToString(sum[:]) {
			t.Errorf("want the content's Docker-Content-Digest; got %v", a)
		}
	}
}

func TestConformanceBlob(t *testing.T) {
	t.Parallel()
	s := conformance(t)
	for name, body := range map[string]string{
		"small": "small", "page": content(2048), "large": content(5 << 20), "empty": "", "empty object": "{}",
		"markup": "<!DOCTYPE html><script>alert(1)</script>", "looks compressed": "\x1f\x8b\x08 is how gzip begins",
	} {
		t.Run(name, func(t *testing.T) {
			s.putBlob(t, sha256Of(body), body)
			wantContent(t, s.read+"/blobs/"+sha256Of(body), "application/octet-stream", body)
		})
	}
}

// TestConformanceHeadFirst asks with HEAD before anything of the blob is held.
func TestConformanceHeadFirst(t *testing.T) {
	t.Parallel()
	s := conformance(t)
	body := content(100_000)
	s.putBlob(t, sha256Of(body), body)
	url := s.read + "/blobs/" + sha256Of(body)
	got := head(t, url)
	if got.StatusCode != http.StatusOK || got.ContentLength != int64(len(body)) || got.Header.Get("Docker-Content-Digest") == "" {
		t.Errorf("want 200 with length and digest; got %v", got)
	}
	wantContent(t, url, "application/octet-stream", body)
}

func TestConformanceRange(t *testing.T) {
	t.Parallel()
	const partial, refused = http.StatusPartialContent, http.StatusRequestedRangeNotSatisfiable
	cases := []struct {
		given      string
		status     int
		from, upTo int // of the bytes wanted
	}{
		{"500-1499", partial, 500, 1500},
		{"500-", partial, 500, 2048},
		{"-500", partial, 1548, 2048},
		{"2000-5000", partial, 2000, 2048},
		{"0-0", partial, 0, 1},
		{"0-", partial, 0, 2048},
		{"2047-2047", partial, 2047, 2048},
		{"-4096", partial, 0, 2048},
		{"500-0", refused, 0, 0},
		{"2048-", refused, 0, 0},
		{"5000-10000", refused, 0, 0},
	}
	s := conformance(t)
	held := content(2048)
	s.putBlob(t, sha256Of(held), held)
	get(t, s.read+"/blobs/"+sha256Of(held))
	for _, tc := range cases {
		t.Run(tc.given, func(t *testing.T) {
			// A blob of its own for each, so that the range is the first thing asked of it.
			cold := tc.given + content(2048-len(tc.given))
			s.putBlob(t, sha256Of(cold), cold)
			for name, body := range map[string]string{"held": held, "cold": cold} {
				got := mustSend(t, s.read+"/blobs/"+sha256Of(body), request{Range: "bytes=" + tc.given})
				if got.StatusCode != tc.status {
					t.Errorf("%s: want %d; got %v", name, tc.status, got)
					continue
				}
				wantRange := "bytes */2048"
				if tc.status == partial {
					wantRange = "bytes " + strconv.Itoa(tc.from) + "-" + strconv.Itoa(tc.upTo-1) + "/2048"
					if got.Body != body[tc.from:tc.upTo] || got.ContentLength != int64(tc.upTo-tc.from) {
						t.Errorf("%s: want bytes %d to %d; got %v", name, tc.from, tc.upTo, got)
					}
				}
				// 500-0 is no range at all, for which the size need not be told.
				if tc.given != "500-0" && got.Header.Get("Content-Range") != wantRange {
					t.Errorf("%s: want Content-Range %q; got %v", name, wantRange, got)
				}
			}
		})
	}
}

// TestConformanceSHA512 reads content by a digest of the other algorithm. Distribution takes
// blobs by it and refuses manifests, so those come from a registry that takes both.
func TestConformanceSHA512(t *testing.T) {
	t.Parallel()
	digest := func(body string) string {
		sum := sha512.Sum512([]byte(body))
		return "sha512:" + hex.EncodeToString(sum[:])
	}
	t.Run("blob", func(t *testing.T) {
		s, body := conformance(t), content(3000)
		s.putBlob(t, digest(body), body)
		wantContent(t, s.read+"/blobs/"+digest(body), "application/octet-stream", body)
	})
	t.Run("manifest", func(t *testing.T) {
		s := withReferrers(t)
		s.putBlob(t, sha256Of("{}"), "{}")
		manifest := encode(t, map[string]any{
			"schemaVersion": 2, "mediaType": ociManifest, "config": describe(ociEmpty, "{}"),
			"layers": []descriptor{{MediaType: ociLayer, Digest: digest("layer"), Size: len("layer")}},
		})
		s.putManifest(t, digest(manifest), ociManifest, manifest)
		wantContent(t, s.read+"/manifests/"+digest(manifest), ociManifest, manifest)
	})
}
