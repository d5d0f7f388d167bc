package floor_test

import (
	"bytes"
	"net/http/httptest"
	"testing"

	"github.com/berth-cache/berth/bench/floor"
	"github.com/berth-cache/berth/bench/image"
)

func TestStockIsServed(t *testing.T) {
	spec := image.Spec{Repository: "bench/app", Layers: []int64{111, 100_000}}
	h, err := floor.New(floor.Stock{Images: []image.Spec{spec}}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	m, err := image.Make(spec)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		path string
		want []byte
	}{
		"version":   {"/v2/", []byte("{}")},
		"tag":       {"/v2/bench/app/manifests/latest", m.Manifest},
		"digest":    {"/v2/bench/app/manifests/" + m.Digest.String(), m.Manifest},
		"small":     {"/v2/bench/app/blobs/" + m.Layers[0].Digest.String(), m.Layers[0].Blob.Bytes()},
		"large":     {"/v2/bench/app/blobs/" + m.Layers[1].Digest.String(), m.Layers[1].Blob.Bytes()},
		"not there": {"/v2/pool/blobs/" + m.Layers[1].Digest.String(), nil},
	} {
		t.Run(name, func(t *testing.T) {
			for _, method := range []string{"GET", "HEAD"} {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, c.path, nil))
				if c.want == nil {
					if w.Code != 404 {
						t.Errorf("%s: %d", method, w.Code)
					}
					continue
				}
				length := w.Result().ContentLength
				if w.Code != 200 || length != int64(len(c.want)) || method == "GET" && !bytes.Equal(w.Body.Bytes(), c.want) || method == "HEAD" && w.Body.Len() > 0 {
					t.Errorf("%s: %d with %d bytes, length %d", method, w.Code, w.Body.Len(), length)
				}
			}
		})
	}
}

func TestFolderThatIsNotThere(t *testing.T) {
	stock := floor.Stock{Images: []image.Spec{{Repository: "a", Layers: []int64{100_000}}}}
	if _, err := floor.New(stock, "/nowhere/at/all"); err == nil {
		t.Error("no error")
	}
}
