package proxy

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"

	"github.com/berth-cache/berth/pull"
)

// tags answers with a page of a repository's tags, under the name that the client used.
func (h *Handler) tags(w *response, r *http.Request, req request, q pull.Query) error {
	list, err := h.puller.Tags(r.Context(), q, pull.TagPage{N: req.n, Last: req.last})
	if err != nil {
		return err
	}
	w.came(list.Origin)
	w.confirmed(list.Origin)
	if list.Next != nil {
		next := url.Values{"last": {list.Next.Last}}
		if list.Next.N >= 0 {
			next.Set("n", strconv.Itoa(list.Next.N))
		}
		w.Header().Set("Link", nextLink(r, req, next.Encode()))
	}
	tags := list.Tags
	if tags == nil {
		tags = []string{}
	}
	body, err := json.Marshal(struct {
		Name string   `json:"name"`
		Tags []string `json:"tags"`
	}{req.name, tags})
	if err != nil {
		return err
	}
	return writeBody(w, r, "application/json", body)
}

// referrers answers with the manifests that refer to a digest.
func (h *Handler) referrers(w *response, r *http.Request, req request, q pull.Query) error {
	list, err := h.puller.Referrers(r.Context(), q, req.query)
	if err != nil {
		return err
	}
	w.came(list.Origin)
	w.confirmed(list.Origin)
	if list.Filters != "" {
		w.Header().Set("OCI-Filters-Applied", list.Filters)
	}
	if list.Next != "" {
		w.Header().Set("Link", nextLink(r, req, list.Next))
	}
	return writeBody(w, r, "application/vnd.oci.image.index.v1+json", list.Body)
}

// nextLink is a Link to the next page at the path that the client used.
func nextLink(r *http.Request, req request, query string) string {
	if req.namespace != "" {
		query += "&ns=" + url.QueryEscape(req.namespace)
	}
	return "<" + r.URL.EscapedPath() + "?" + query + `>; rel="next"`
}
