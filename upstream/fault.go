package upstream

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// maxErrorBytes bounds the body of an error.
	maxErrorBytes = 64 << 10
	// defaultRetryAfter is how long a 429 lasts that does not say; maxRetryAfter bounds
	// what one may say.
	defaultRetryAfter = 60 * time.Second
	maxRetryAfter     = 24 * time.Hour
	// maxMessage bounds what is repeated of an upstream's own words, in bytes.
	maxMessage = 240
)

// answerFault is an answer that is not the content.
type answerFault struct {
	status     int
	code       string // the registry's error code
	text       string // the upstream's own words, made harmless
	html       bool
	retryAfter time.Duration
	elsewhere  bool // another host answered, after a redirect
	api        bool // the upstream's API answered, after a redirect or not
	token      bool // the request carried one
}

// looped tells whether a cache says that it has asked already. Web hosts have the status for
// limits of their own, with a page.
func (f answerFault) looped() bool {
	return f.status == http.StatusLoopDetected && f.api && !f.html
}

// readFault reads an answer to its end, or its limit, and closes it.
func (c *Client) readFault(resp *http.Response) answerFault {
	f := answerFault{
		status:    resp.StatusCode,
		elsewhere: !sameOrigin(resp.Request.URL, c.base),
		api:       c.isAPI(resp.Request.URL),
		html:      mediaType(resp.Header.Get("Content-Type")) == "text/html",
		token:     strings.HasPrefix(resp.Request.Header.Get("Authorization"), "Bearer "),
	}
	f.retryAfter, _ = retryAfter(resp.Header, time.Now())
	hurry(resp.Body)
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorBytes))
	resp.Body.Close()
	if err != nil && len(body) == 0 {
		return f // the status is enough
	}
	var said string
	f.code, said = registryError(body)
	said = withoutToken(resp, said)
	start := bytes.ToLower(bytes.TrimSpace(body[:min(len(body), 512)]))
	if bytes.HasPrefix(start, []byte("<!doctype html")) || bytes.HasPrefix(start, []byte("<html")) {
		f.html = true
	}
	if !f.html {
		f.text = c.harmless(said)
	}
	return f
}

// withoutToken is a text of an answer without what the request carried: some repeat it.
func withoutToken(resp *http.Response, text string) string {
	if _, token, ok := strings.Cut(resp.Request.Header.Get("Authorization"), " "); ok && token != "" {
		text = strings.ReplaceAll(text, token, "***")
	}
	return text
}

// registryError reads the first error of a registry's error body; of any other short body
// it returns the text.
func registryError(body []byte) (code, text string) {
	var answer struct {
		Errors []struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"errors"`
	}
	if json.Unmarshal(body, &answer) != nil || len(answer.Errors) == 0 {
		return "", string(body)
	}
	first := answer.Errors[0]
	if len(first.Code) > 64 || strings.Trim(first.Code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789") != "" {
		first.Code = "" // not a code as the specification has them
	}
	return first.Code, first.Message
}

// harmless makes a foreign text fit for a message: one short printable line, without our
// secrets and without the queries of URLs, which may sign something.
func (c *Client) harmless(text string) string {
	text = c.secrets.hide(text)
	var words []string
	for word := range strings.FieldsSeq(text) {
		if head, _, ok := strings.Cut(word, "?"); ok && strings.Contains(head, "/") {
			word = head
		}
		if strings.Contains(word, "://") && strings.Contains(word, "@") {
			word = "***"
		}
		words = append(words, strings.Map(printable, word))
	}
	text = strings.Join(words, " ")
	if len(text) > maxMessage {
		text = strings.ToValidUTF8(text[:maxMessage], "") + "…"
	}
	return text
}

func printable(r rune) rune {
	if !strconv.IsPrint(r) {
		return -1
	}
	return r
}

// retryAfter reads Retry-After, in seconds or as a date, and says whether it was there.
func retryAfter(h http.Header, now time.Time) (time.Duration, bool) {
	text := strings.TrimSpace(h.Get("Retry-After"))
	if text == "" {
		return 0, false
	}
	var d time.Duration
	if seconds, err := strconv.ParseInt(text, 10, 64); err == nil {
		d = time.Duration(min(seconds, int64(maxRetryAfter/time.Second))) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		// By the clock that it was written by: ours, or the other, may be wrong.
		if date, err := http.ParseTime(h.Get("Date")); err == nil {
			now = date
		}
		d = at.Sub(now)
	} else {
		return 0, false
	}
	return min(max(d, 0), maxRetryAfter), true
}
