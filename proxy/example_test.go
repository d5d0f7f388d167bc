package proxy_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/berth-cache/berth/catalog"
	"github.com/berth-cache/berth/proxy"
	"github.com/berth-cache/berth/pull"
)

// shelf is a Puller that has one manifest.
type shelf struct{ proxy.Puller }

func (shelf) Manifest(_ context.Context, q pull.Query) (*pull.Manifest, error) {
	if q.Tag != "3" {
		return nil, &pull.Error{Reason: pull.NotFound, Subject: q.Route.Repository + ":" + q.Tag, Answers: []pull.Answer{{Upstream: "quay", Said: "not found"}}}
	}
	return &pull.Manifest{Origin: pull.Origin{Upstream: "quay", Outcome: pull.Hit}, MediaType: "application/vnd.oci.image.index.v1+json", Body: []byte("{}")}, nil
}

// A Handler answers for what its catalog leads to and its puller has.
func Example() {
	quay := &catalog.Upstream{Name: "quay", Hosts: []string{"quay.io"}}
	snapshot, err := catalog.NewSnapshot([]*catalog.Registry{{Name: "default", Upstreams: []*catalog.Upstream{quay}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	handler := proxy.New(proxy.Options{Catalog: catalog.New(snapshot), Puller: shelf{}})
	for _, tag := range []string{"3", "4"} {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v2/quay.io/app/manifests/"+tag, http.NoBody))
		fmt.Println(w.Code, w.Body)
	}
	// Output:
	// 200 {}
	// 404 {"errors":[{"code":"MANIFEST_UNKNOWN","message":"app:4 not found: quay: not found","detail":[{"upstream":"quay","said":"not found"}]}]}
}
