package upstream_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"

	"github.com/berth-cache/berth/upstream"
)

// A tag is looked up with HEAD; an upstream that does not have it says so by the class of
// its error.
func ExampleClient_Do() {
	registry := httptest.NewServer(http.NotFoundHandler())
	defer registry.Close()
	base, err := url.Parse(registry.URL)
	if err != nil {
		panic(err)
	}
	c, err := upstream.New(upstream.Config{Name: "mirror", URL: base, Private: true})
	if err != nil {
		panic(err)
	}
	defer c.Close()

	_, err = c.Do(context.Background(), upstream.Request{
		Method: http.MethodHead, Kind: upstream.KindManifest, Repository: "library/alpine", Reference: "3",
	})
	if e, ok := errors.AsType[*upstream.Error](err); ok {
		fmt.Println(e.Op, e.Class)
	}
	// Output: HEAD manifest library/alpine:3 not_here
}
