package load

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
)

// tags walks a tag list, whole or in pages.
func (v *visit) tags() outcome {
	p, _, _ := v.image()
	path := "/v2/" + p.Name + "/tags/list"
	query := ""
	if v.random.IntN(2) == 0 {
		query = "?n=2"
	}
	var all []string
	for range 10 {
		a := v.ask(http.MethodGet, path+query)
		body, o := v.expect(a, http.StatusOK)
		if o.ending != Right {
			return o
		}
		var list struct{ Tags []string }
		if err := json.Unmarshal(body, &list); err != nil {
			return wrong("%s: %v: %.300s", path, err, body)
		}
		all = append(all, list.Tags...)
		link, _, more := strings.Cut(strings.TrimPrefix(a.Header.Get("Link"), "<"), ">")
		next, err := url.Parse(link)
		if !more {
			break
		}
		if err != nil || next.RawQuery == "" {
			return wrong("%s: next page %q", path, link)
		}
		query = "?" + next.RawQuery
	}
	if want := p.Tags(); !slices.Equal(all, want) {
		return wrong("%s%s: %q, want %q", path, query, all, want)
	}
	return right
}

func (v *visit) referrers() outcome {
	p, _, image := v.image()
	path := "/v2/" + p.Name + "/referrers/" + image.Digest.String()
	body, o := v.expect(v.ask(http.MethodGet, path), http.StatusOK)
	if want := p.Referrers(image.Digest).Body; o.ending == Right && !bytes.Equal(body, want) {
		return wrong("%s: %.300s, want %s", path, body, want)
	}
	return o
}

// unknown asks for what is nowhere.
func (v *visit) unknown() outcome {
	p, _, _ := v.image()
	n := v.random.Uint64()
	nothing := digest.FromString(fmt.Sprint(n)).String()
	paths := []string{
		fmt.Sprintf("/v2/none/app-%d/manifests/v0", n%1000),
		fmt.Sprintf("/v2/%s/manifests/none-%d", p.Name, n%1000),
		"/v2/" + p.Name + "/manifests/" + nothing,
		"/v2/" + p.Name + "/blobs/" + nothing,
		fmt.Sprintf("/v2/none/app-%d/tags/list", n%1000),
		"/v2/nowhere.test/" + p.Name + "/manifests/v0",
		"/v2/" + p.Name + "/manifests/v0?ns=nowhere.test",
	}
	method := http.MethodGet
	if v.random.IntN(4) == 0 {
		method = http.MethodHead
	}
	_, o := v.expect(v.ask(method, paths[v.random.IntN(len(paths))]), http.StatusNotFound)
	return o
}

// garbage asks for what cannot be.
func (v *visit) garbage() outcome {
	paths := []string{
		"/", "/v1/_ping", "/v2", "/v2//manifests/v0", "/v2/../../etc/passwd", "/v2/a/../b/manifests/v0",
		"/v2/UPPER/manifests/v0", "/v2/a/manifests/..", "/v2/a/blobs/sha256:xyz", "/v2/a/blobs/md5:00",
		"/v2/a%2fb/manifests/v0", "/v2/a/manifests/%00", "/v2/_catalog", "/v2/a/tags/list?n=-1",
		"/v2/a/referrers/v0", "/v2/" + strings.Repeat("a/", 300) + "b/manifests/v0",
		"/v2/a/manifests/" + strings.Repeat("t", 300), "/v2/-/manifests/v0", "/v2/a/blobs/",
		"/v2/a/manifests/sha256:" + strings.Repeat("g", 64), "/%c0%ae%c0%ae/", "/v2/a/manifests/v0?ns=http://127.0.0.1/",
	}
	a := v.ask(http.MethodGet, paths[v.random.IntN(len(paths))])
	if a.Response == nil {
		return a.outcome
	}
	body, o := v.read(a)
	if o.ending == Right && a.StatusCode >= http.StatusInternalServerError {
		return wrong("%s: %s: %.300s", a.Request.URL, a.Status, body)
	}
	return o
}

func (v *visit) method() outcome {
	p, tag, _ := v.image()
	method := []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch}[v.random.IntN(4)]
	_, o := v.expect(v.ask(method, manifestPath(p, tag)), http.StatusMethodNotAllowed)
	return o
}
