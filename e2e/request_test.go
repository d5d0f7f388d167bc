package e2e_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// answerWithin bounds one request of the tests' own.
const answerWithin = 60 * time.Second

// request is one request of the tests' own; the zero Method is GET.
type request struct {
	Method, Host, Range, Accept string
	// Body is sent as Type, unless empty.
	Body, Type string
}

// answer is what came back. Redirects are followed.
type answer struct {
	*http.Response
	Body string
}

// plain neither compresses nor keeps connections, so that headers are the server's own and
// nothing is left behind.
var plain = &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true}}

// send sends r to url and reads the whole answer.
func send(ctx context.Context, url string, r request) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	sent, err := http.NewRequestWithContext(ctx, r.Method, url, strings.NewReader(r.Body))
	if err != nil {
		return answer{}, fmt.Errorf("request: %w", err)
	}
	sent.Host = r.Host
	for header, value := range map[string]string{"Range": r.Range, "Accept": r.Accept, "Content-Type": r.Type} {
		if value != "" {
			sent.Header.Set(header, value)
		}
	}
	got, err := plain.Do(sent)
	if err != nil {
		return answer{}, fmt.Errorf("%s %s: %w", sent.Method, url, err)
	}
	defer func() { _ = got.Body.Close() }()
	body, err := io.ReadAll(got.Body)
	if err != nil {
		return answer{}, fmt.Errorf("%s %s: read the answer: %w", sent.Method, url, err)
	}
	return answer{Response: got, Body: string(body)}, nil
}

// mustSend is send for answers of any status.
func mustSend(t *testing.T, url string, r request) answer {
	t.Helper()
	got, err := send(t.Context(), url, r)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// get is a GET.
func get(t *testing.T, url string) answer {
	t.Helper()
	return mustSend(t, url, request{})
}

// head is a HEAD.
func head(t *testing.T, url string) answer {
	t.Helper()
	return mustSend(t, url, request{Method: http.MethodHead})
}

// String is an answer in a failure's words.
func (a answer) String() string {
	body := a.Body
	if len(body) > 300 {
		body = body[:300] + "..."
	}
	return fmt.Sprintf("%s %s: %s %v %q", a.Request.Method, a.Request.URL, a.Status, a.Header, body)
}
