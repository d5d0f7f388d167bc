package upstream_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/berth-cache/berth/bench/upstream"
)

func TestContentAndCounters(t *testing.T) {
	w := newWorld(t, upstream.Conditions{})
	layer := w.image.Layers[0]
	resp, body := w.get(t, "/v2/bench/app/manifests/latest")
	if resp.StatusCode != 200 || !bytes.Equal(body, w.image.Manifest) || resp.Header.Get("Content-Type") != w.image.MediaType {
		t.Errorf("manifest: %s, %d bytes", resp.Status, len(body))
	}
	if _, body := w.get(t, "/v2/bench/app/blobs/"+layer.Digest.String()); !bytes.Equal(body, layer.Blob.Bytes()) {
		t.Errorf("layer: %d bytes, want %d", len(body), layer.Blob.Size)
	}
	blob := w.pool.Blob(3)
	if _, body := w.get(t, "/v2/pool/blobs/"+blob.Digest().String()); !bytes.Equal(body, blob.Bytes()) {
		t.Errorf("of the pool: %d bytes", len(body))
	}
	for _, path := range []string{"/v2/bench/app/manifests/1", "/v2/pool/blobs/" + layer.Digest.String(), "/other"} {
		if resp, _ := w.get(t, path); resp.StatusCode != 404 {
			t.Errorf("%s: %s", path, resp.Status)
		}
	}
	got := w.counters(t)
	if got.Connections < 1 {
		t.Error("no connection was counted")
	}
	got.Connections = 0 // as many as net/http likes
	want := upstream.Counters{Requests: 6, Manifests: 1, Blobs: 2, Bytes: int64(len(w.image.Manifest)) + layer.Blob.Size + 64}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("counters (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(upstream.Counters{}, got.Sub(got)); diff != "" {
		t.Errorf("nothing since then (-want +got):\n%s", diff)
	}
}

// leaving takes 70,000 bytes and no more.
type leaving struct {
	http.ResponseWriter
	taken int
}

func (l *leaving) Write(p []byte) (int, error) {
	n := min(len(p), 70_000-l.taken)
	l.taken += n
	if n < len(p) {
		return n, io.ErrClosedPipe
	}
	return n, nil
}

// Who leaves half-way has had half.
func TestCountedAsFarAsWritten(t *testing.T) {
	for name, size := range map[string]int{"part": 50_000, "all at once": 1_000_000} {
		w, count := upstream.Counted(&leaving{})
		source := strings.NewReader(strings.Repeat("x", size))
		var err error
		for range 2 {
			_, err = io.Copy(w, source)
			source.Reset(strings.Repeat("x", size))
		}
		if err == nil || count() != 70_000 {
			t.Errorf("%s: counted %d, %v", name, count(), err)
		}
	}
}

func TestRanges(t *testing.T) {
	for name, c := range map[string]struct {
		conditions upstream.Conditions
		status     int
		length     int
		ranges     string
	}{
		"honoured": {upstream.Conditions{}, 206, 100, "bytes"},
		"ignored":  {upstream.Conditions{WholeOnly: true}, 200, 300_000, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, c.conditions)
			layer := w.image.Layers[0]
			resp, body := w.get(t, "/v2/bench/app/blobs/"+layer.Digest.String(), "Range", "bytes=5000-5099")
			if resp.StatusCode != c.status || len(body) != c.length || resp.Header.Get("Accept-Ranges") != c.ranges {
				t.Errorf("%s with %d bytes, ranges %q", resp.Status, len(body), resp.Header.Get("Accept-Ranges"))
			}
			if c.status == 206 && !layer.Blob.Equal(body, 5000) {
				t.Error("the range has other bytes")
			}
			if n := w.counters(t).Bytes; n != int64(c.length) {
				t.Errorf("counted %d bytes, want %d", n, c.length)
			}
		})
	}
}

func TestToken(t *testing.T) {
	w := newWorld(t, upstream.Conditions{Auth: true})
	resp, _ := w.get(t, "/v2/bench/app/manifests/latest")
	challenge := resp.Header.Get("WWW-Authenticate")
	found := regexp.MustCompile(`^Bearer realm="http://[^/]+(/token)",service="bench",scope="repository:bench/app:pull"$`).FindStringSubmatch(challenge)
	if resp.StatusCode != 401 || found == nil {
		t.Fatalf("%s, challenge %q", resp.Status, challenge)
	}
	_, body := w.get(t, found[1])
	var answer struct{ Token string }
	if err := json.Unmarshal(body, &answer); err != nil || answer.Token == "" {
		t.Fatalf("token %q: %v", body, err)
	}
	for token, want := range map[string]int{answer.Token: 200, "other": 401} {
		if resp, _ := w.get(t, "/v2/bench/app/manifests/latest", "Authorization", "Bearer "+token); resp.StatusCode != want {
			t.Errorf("token %q: %s, want %d", token, resp.Status, want)
		}
	}
}

func TestTLSSpeaksHTTP2(t *testing.T) {
	w := newWorld(t, upstream.Conditions{TLS: true})
	layer := w.image.Layers[0]
	resp, body := w.get(t, "/v2/bench/app/blobs/"+layer.Digest.String())
	if resp.ProtoMajor != 2 || !bytes.Equal(body, layer.Blob.Bytes()) {
		t.Errorf("%s, %d bytes", resp.Proto, len(body))
	}
}

func TestNegativeConditions(t *testing.T) {
	for _, c := range []upstream.Conditions{{Latency: -1}, {BytesPerSecond: -1}} {
		if _, err := upstream.Serve(t.Context(), c); err == nil {
			t.Errorf("%+v is taken", c)
		}
	}
}

func TestDeskRefusesWhatItDoesNotKnow(t *testing.T) {
	w := newWorld(t, upstream.Conditions{})
	if err := upstream.NewControl(w.endpoint.Addr).AddPool(t.Context(), w.pool); err == nil {
		t.Error("the registry takes orders")
	}
}
