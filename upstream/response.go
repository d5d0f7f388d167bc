package upstream

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

const (
	// MaxManifestBytes is the largest manifest that is read. Clients take 4 MiB, containerd
	// 4,393,216 bytes.
	MaxManifestBytes = 8 << 20
	// MaxListBytes is the largest page of tags or referrers that is read.
	MaxListBytes = 8 << 20
)

// errAnswer says that an answer of good status cannot be used.
var errAnswer = errors.New("unusable answer")

// response turns an answer of status 200 or 206 into a Response. On error the caller
// still has to close the answer.
func (c *Client) response(r Request, resp *http.Response) (*Response, error) {
	if enc := resp.Header.Get("Content-Encoding"); enc != "" && !strings.EqualFold(enc, "identity") {
		return nil, fmt.Errorf("%w: encoded although identity was asked for", errAnswer)
	}
	out := &Response{
		Status:         resp.StatusCode,
		Digest:         supported(resp.Header.Get("Docker-Content-Digest")),
		MediaType:      mediaType(c.harmless(resp.Header.Get("Content-Type"))),
		ETag:           c.innocent(resp, etag(resp.Header.Get("Etag"))),
		Size:           resp.ContentLength,
		NoRanges:       strings.EqualFold(strings.TrimSpace(resp.Header.Get("Accept-Ranges")), "none"),
		FiltersApplied: c.innocent(resp, c.harmless(resp.Header.Get("OCI-Filters-Applied"))),
	}
	if resp.StatusCode == http.StatusPartialContent {
		var err error
		if out.Offset, out.Size, err = contentRange(resp.Header.Get("Content-Range"), r.Offset); err != nil {
			return nil, err
		}
	}
	if r.Method == http.MethodHead {
		resp.Body.Close()
		out.Body = http.NoBody
		if r.Kind == KindManifest && out.Size == 0 {
			out.Size = -1 // what stands between measured the answer; no manifest is empty
		}
		return out, nil
	}
	limit := bodyLimit(r.Kind)
	if limit >= 0 && out.Size > limit {
		return nil, fmt.Errorf("%s of %d bytes: %w (%d bytes)", r.Kind, out.Size, ErrTooLarge, limit)
	}
	if r.Kind == KindTags || r.Kind == KindReferrers {
		out.Next = c.nextPage(r, resp)
	}
	out.Body = &content{
		body: resp.Body, left: limit, count: c.cfg.Metrics.fetchedBytes(c.cfg.Name, r.Kind),
		where: "upstream " + c.cfg.Name + ": " + r.op(),
	}
	return out, nil
}

func bodyLimit(k Kind) int64 {
	switch k {
	case KindManifest:
		return MaxManifestBytes
	case KindBlob:
		return -1
	default:
		return MaxListBytes
	}
}

// contentRange reads "bytes 5-9/20" or "bytes 5-9/*" into where the body starts and the
// size of the whole, which is -1 for "*". It must not start after what was asked for.
func contentRange(header string, asked int64) (offset, size int64, err error) {
	bad := fmt.Errorf("%w: status 206 with a bad Content-Range", errAnswer)
	rest, ok := strings.CutPrefix(strings.TrimSpace(header), "bytes ")
	span, total, ok2 := strings.Cut(rest, "/")
	first, last, ok3 := strings.Cut(span, "-")
	if !ok || !ok2 || !ok3 {
		return 0, 0, bad
	}
	from, err1 := strconv.ParseUint(first, 10, 63)
	to, err2 := strconv.ParseUint(last, 10, 63)
	if err1 != nil || err2 != nil || to < from {
		return 0, 0, bad
	}
	offset, size = int64(from), -1
	if total != "*" {
		whole, err := strconv.ParseUint(total, 10, 63)
		if err != nil || to >= whole {
			return 0, 0, bad
		}
		size = int64(whole)
	}
	if offset > asked {
		return 0, 0, fmt.Errorf("%w: range starts at %d instead of %d", errAnswer, offset, asked)
	}
	return offset, size, nil
}

// nextPage is the raw query of the page that a Link header names. Another host or path is
// not followed: what we would ask there was not agreed with anybody.
func (c *Client) nextPage(r Request, resp *http.Response) string {
	target, ok := nextLink(resp.Header)
	if !ok {
		return ""
	}
	next, err := resp.Request.URL.Parse(target)
	own := r.url(c.base)
	if err != nil || !sameOrigin(next, own) || next.Path != own.Path || next.RawQuery == "" {
		c.log.Warn("next page of a list is not followed", "upstream", c.cfg.Name, "op", r.op())
		return ""
	}
	return escaped(c.innocent(resp, next.RawQuery))
}

// innocent is a text of an answer's header, or nothing if it repeats our login: it is kept,
// and goes to clients.
func (c *Client) innocent(resp *http.Response, text string) string {
	if c.secrets.hide(withoutToken(resp, text)) != text {
		return ""
	}
	return text
}

// escaped is a query in which nothing stands that no URL may have: it goes into requests and
// into a Link of ours as it is.
func escaped(query string) string {
	var b strings.Builder
	for i := range len(query) {
		if ch := query[i]; ch <= ' ' || ch >= 0x7f || strings.IndexByte("\"<>\\^`{|}", ch) >= 0 {
			fmt.Fprintf(&b, "%%%02X", ch)
			continue
		}
		b.WriteByte(query[i])
	}
	return b.String()
}

// nextLink finds the target of the first link with rel=next (RFC 8288).
func nextLink(h http.Header) (string, bool) {
	for _, line := range h.Values("Link") {
		for {
			_, rest, ok := strings.Cut(line, "<")
			if !ok {
				break
			}
			target, rest, ok := strings.Cut(rest, ">")
			if !ok {
				break
			}
			params, after, _ := strings.Cut(rest, ",")
			for param := range strings.SplitSeq(params, ";") {
				name, value, _ := strings.Cut(strings.TrimSpace(param), "=")
				if strings.EqualFold(name, "rel") && strings.EqualFold(strings.Trim(value, `"`), "next") {
					return target, true
				}
			}
			line = after
		}
	}
	return "", false
}

// mediaType is a Content-Type in lower case, without parameters.
func mediaType(value string) string {
	value, _, _ = strings.Cut(value, ";")
	return strings.ToLower(strings.TrimSpace(value))
}

func etag(value string) string {
	value = strings.TrimPrefix(strings.TrimSpace(value), "W/")
	return strings.Trim(value, `"`)
}
