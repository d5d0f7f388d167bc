package proxy

import (
	"net/http"
	"net/url"
	"testing"
)

func BenchmarkParse(b *testing.B) {
	for name, path := range map[string]string{
		"tag":         "/v2/library/app/manifests/1.2.3",
		"digest":      "/v2/library/app/blobs/" + sha256,
		"digest, ns":  "/v2/library/app/blobs/" + sha256 + "?ns=docker.io",
		"no such API": "/favicon.ico",
	} {
		b.Run(name, func(b *testing.B) {
			u, err := url.Parse(path)
			if err != nil {
				b.Fatal(err)
			}
			r := &http.Request{Method: http.MethodGet, URL: u}
			b.ReportAllocs()
			for b.Loop() {
				_, _ = parse(r)
			}
		})
	}
}
