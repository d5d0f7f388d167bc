package proxy

import "net/http"

// These are always alike. A slice of its own for each answer would be a fifth of what a
// warm request allocates. Content does without the version, which clients look for in a
// ping's answer: a header of more than eight keys costs twice as much to make and to copy.
var (
	apiVersion    = []string{"registry/2.0"}
	noSniff       = []string{"nosniff"}
	sandbox       = []string{"default-src 'none'; sandbox"}
	rangesInBytes = []string{"bytes"}
)

// The keys of an answer's header in the form in which net/http keeps them, so that setting
// one need not bring it there.
const (
	keyAPIVersion    = "Docker-Distribution-Api-Version"
	keyNoSniff       = "X-Content-Type-Options"
	keySandbox       = "Content-Security-Policy"
	keyDigest        = "Docker-Content-Digest"
	keyETag          = "Etag"
	keyAcceptRanges  = "Accept-Ranges"
	keyContentType   = "Content-Type"
	keyContentLength = "Content-Length"
	keyCacheStatus   = "Cache-Status"
	keyAge           = "Age"
)

// values are a few header values in one piece of memory: that of the response.
type values struct {
	texts [8]string
	used  int
}

// set sets a key, which is in its canonical form.
func (v *values) set(h http.Header, key, value string) {
	if v.used == len(v.texts) {
		h[key] = []string{value}
		return
	}
	v.texts[v.used] = value
	h[key] = v.texts[v.used : v.used+1 : v.used+1]
	v.used++
}
