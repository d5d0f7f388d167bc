package toxic_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/berth-cache/berth/e2e/soak/toxic"
)

// TestWeathers: what is soft lets all of an answer through, what is hard does not, and what
// is dead not a byte of it; then all is well again.
func TestWeathers(t *testing.T) {
	want := bytes.Repeat([]byte("abc"), 300_000)
	asked := make(chan struct{}, 100)
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked <- struct{}{}
		_, _ = w.Write(want) //nolint:errcheck // links break
	}))
	t.Cleanup(upstream.Close)
	l := toxic.New(t, upstream.Listener.Addr().String())
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	ask := func() []byte {
		response, err := client.Get("http://" + l.Addr)
		if err != nil {
			return nil
		}
		defer response.Body.Close()
		body, _ := io.ReadAll(response.Body) //nolint:errcheck // what came is looked at
		return body
	}
	for _, w := range toxic.All {
		for len(asked) > 0 {
			<-asked
		}
		l.Turn(t, w)
		came := make(chan []byte, 1)
		go func() { came <- ask() }()
		var body []byte
		if w.Toxic == toxic.Timeout.Toxic {
			<-asked // and is answered, in vain
			l.Turn(t, toxic.Fair)
		}
		body = <-came
		if whole := bytes.Equal(body, want); whole == w.Hard || w.Dead && len(body) > 0 {
			t.Errorf("%s: %d bytes", w, len(body))
		}
		l.Turn(t, toxic.Fair)
		if body := ask(); !bytes.Equal(body, want) {
			t.Errorf("after %s: %d bytes", w, len(body))
		}
	}
}
