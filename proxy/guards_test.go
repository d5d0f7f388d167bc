package proxy_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-cache/berth/upstream/upstreamtest"
)

// What has no end is taken up to its limit, and told as too large.
func TestEndlessAnswers(t *testing.T) {
	image := putGood(upstreamtest.New(t))
	for _, tc := range []struct{ path, begins, repeats, mediaType, says string }{
		{"/v2/app/tags/list", `{"name":"app","tags":["a"`, `,"aaaaaaaaaaaaaaaa"`, "application/json", sayLargeList},
		{"/v2/app/referrers/" + image.Digest.String(), `{"schemaVersion":2,"manifests":[{}`, `,{}`, ocispec.MediaTypeImageIndex, sayLargeList},
		{manifestPath("app", "1"), `{"schemaVersion":2,"layers":[{}`, `,{}`, ocispec.MediaTypeImageManifest, sayLarge},
	} {
		timeless(t, strings.Split(tc.path, "/")[3], func(t *testing.T) {
			r := newRig(t, plan{upstreams: []far{{name: "hub"}}})
			var sent atomic.Int64
			r.network.Serve("http://hub.test", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", tc.mediaType)
				chunk := []byte(tc.begins)
				for sent.Load() < 1<<30 {
					n, err := w.Write(chunk)
					sent.Add(int64(n))
					if err != nil {
						return
					}
					chunk = bytes.Repeat([]byte(tc.repeats), 4000)
				}
			}))
			a := r.get(tc.path)
			if a.StatusCode != http.StatusServiceUnavailable || !strings.Contains(string(a.body), "hub: "+tc.says) {
				t.Errorf("%s\n%s", a.Status, first(a.body))
			}
			synctest.Wait() // until it has noticed
			if n := sent.Load(); n < 8<<20 || n > 9<<20 {
				t.Errorf("%d bytes were taken", n)
			}
		})
	}
}

// A tag list whose pages never end costs one request a page, and pages elsewhere are none.
func TestTagPagesWithoutEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, plan{upstreams: []far{{name: "hub"}}})
		var asked []string
		link := "</v2/app/tags/list?n=1&last=%d>"
		r.network.Serve("http://hub.test", http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			asked = append(asked, q.URL.RequestURI())
			w.Header().Set("Link", fmt.Sprintf(link, len(asked))+`; rel="next"`)
			fmt.Fprintf(w, `{"name":"app","tags":["%d"]}`, len(asked))
		}))
		at := "/v2/app/tags/list?n=1"
		for i := range 5 {
			l := tagsOf(r, r.get(at))
			if want := fmt.Sprintf("/v2/app/tags/list?last=%d&n=1", i+1); l.next != want || !slices.Equal(l.Tags, []string{fmt.Sprint(i + 1)}) {
				t.Fatalf("%q, then %q, want %q", l.Tags, l.next, want)
			}
			at = l.next
		}
		if len(asked) != 5 {
			t.Errorf("asked %q", asked)
		}
		link = "<http://169.254.169.254/v2/app/tags/list?n=1&last=%d>"
		if l := tagsOf(r, r.get(at)); l.next != "" || len(asked) != 6 {
			t.Errorf("next page %q, asked %q", l.next, asked)
		}
	})
}

// Clients take manifests of 4 MiB and a little more; so do we, and pass them on whole.
func TestManifestOfFiveMiB(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, plan{upstreams: []far{{name: "hub"}}})
		hub := r.hubs["hub"]
		body := []byte(`{"schemaVersion":2,"config":{},"layers":[],"annotations":{"a":"` + strings.Repeat("x", 5<<20) + `"}}`)
		d := hub.AddManifest("app", "1", ocispec.MediaTypeImageManifest, body)
		r.tells(r.pulled(manifestPath("app", "1"), body), missed())
		r.asked("hub", "GET manifest app:1")
		r.restart()
		r.tells(r.pulled(manifestPath("app", d.String()), body), hit(0))
		r.asked("hub")
	})
}

// Descriptors may name URLs of their content. Nobody is asked there: not for a layer, which
// clients fetch from there themselves, nor for the platforms of an index that moved.
func TestURLsOfDescriptorsAreNotFetched(t *testing.T) {
	timeless(t, "urls", func(t *testing.T) {
		r := newRig(t, plan{upstreams: []far{{name: "hub", change: everyTime}}})
		hub, elsewhere := r.hubs["hub"], upstreamtest.New(t)
		r.network.Serve("http://elsewhere.test", elsewhere)
		foreign := func(d ocispec.Descriptor) ocispec.Descriptor {
			d.URLs = []string{"http://elsewhere.test/v2/app/blobs/" + d.Digest.String(), "http://169.254.169.254/latest"}
			return d
		}
		absent := elsewhere.AddImage("app", "1", []byte("elsewhere"))
		image := ocispec.Manifest{
			Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
			Config: foreign(ocispec.DescriptorEmptyJSON),
			Layers: []ocispec.Descriptor{foreign(ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: absent.Layers[0], Size: 9})},
		}
		body, err := json.Marshal(image)
		check(t, err)
		hub.AddManifest("app", "1", image.MediaType, body)
		r.pulled(manifestPath("app", "1"), body)
		for _, method := range []string{"GET", "HEAD"} {
			if a := r.do(method, blobPath("app", absent.Layers[0])); a.StatusCode != http.StatusNotFound {
				t.Errorf("%s of the layer: %s", method, a.Status)
			}
		}

		platform := &ocispec.Platform{OS: "linux", Architecture: "amd64"}
		index := func(child upstreamtest.Image) []byte {
			child.Platform = platform
			body, err := json.Marshal(ocispec.Index{
				Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex,
				Manifests: []ocispec.Descriptor{foreign(child.Descriptor())},
			})
			check(t, err)
			hub.AddManifest("multi", "1", ocispec.MediaTypeImageIndex, body)
			return body
		}
		pulled := hub.AddImage("multi", "", []byte("pulled before"))
		held := index(pulled)
		r.pulled(manifestPath("multi", "1"), held)
		r.pulled(manifestPath("multi", pulled.Digest.String()), pulled.Manifest)
		index(absent)
		r.pulled(manifestPath("multi", "1"), held) // the new one is not whole
		if got := elsewhere.Requests(); len(got) > 0 {
			t.Errorf("elsewhere was asked %q", got)
		}
		for _, addr := range r.network.Dialled() {
			if strings.HasPrefix(addr, "169.") {
				t.Errorf("dialled %s", addr)
			}
		}
	})
}
