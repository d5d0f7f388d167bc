package state

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRedisURL(t *testing.T) {
	for url, want := range map[RedisURL]redisTarget{
		"redis://h":                     {host: "h", port: "6379"},
		"redis://h:1/":                  {host: "h", port: "1"},
		"redis://h:1/3":                 {host: "h", port: "1", database: 3},
		"rediss://h:1":                  {host: "h", port: "1", tls: true},
		"redis://:pw@h":                 {host: "h", port: "6379", password: "pw"},
		"redis://u:p%40%2F%3A%23%3F@h":  {host: "h", port: "6379", user: "u", password: "p@/:#?"},
		"redis://[::1]:7":               {host: "::1", port: "7"},
		"redis://u:pw@cache.local:1/10": {host: "cache.local", port: "1", user: "u", password: "pw", database: 10},
	} {
		got, err := url.parse()
		if err != nil {
			t.Errorf("%s: %v", string(url), err)
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(redisTarget{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", string(url), diff)
		}
	}
	if got := (redisTarget{host: "::1", port: "7"}).addr(); got != "[::1]:7" {
		t.Errorf("addr = %q", got)
	}
}

// TestRedisURLRefused has passwords that were not percent-encoded, in every way that
// url.Parse misreads them, and none of them may be quoted.
func TestRedisURLRefused(t *testing.T) {
	for _, url := range []RedisURL{
		"", "h:6379", "redis:", "redis://", "redis:///3", "redis://:6379", "http://h", "unix:///sock",
		"redis://h/one", "redis://h/-1", "redis://h/1/2", "redis://secret@h", "redis://h?db=1", "redis://h?", "redis://h#",
		"redis://:sec/ret@h", "redis://:sec?ret@h", "redis://:sec#ret@h", "redis://:12?secret@h", "redis://:1/secret@h",
		"redis://:sec%zzret@h", "redis://:sec ret@h", "redis://secret#@h", "redis://se/cret@h", "redis://u:sec\x00ret@h",
		"redis:secret@h", "redis://u:secret@h:port",
	} {
		r, err := NewRedis(RedisOptions{URL: url})
		if err == nil {
			t.Errorf("%q was taken", string(url))
			if err := r.Close(); err != nil {
				t.Error(err)
			}
			continue
		}
		for _, part := range []string{"sec", "cret", "ret@", "zz"} {
			if strings.Contains(err.Error(), part) {
				t.Errorf("%q: error quotes the password: %v", string(url), err)
			}
		}
	}
}

func TestRedisURLPrintsNothing(t *testing.T) {
	url := RedisURL("redis://user:secret@h")
	options := RedisOptions{URL: url}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+verb+verb, url, &url, options)
	}
	for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(handler).Info("start", "url", url, "options", options)
	}
	if err := json.NewEncoder(&out).Encode(map[string]RedisURL{"url": url}); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "secret") || strings.Contains(out.String(), fmt.Sprintf("%x", "secret")) {
		t.Errorf("the password is printed:\n%s", out.String())
	}
	if !strings.Contains(out.String(), "***") {
		t.Errorf("nothing is printed at all:\n%s", out.String())
	}
}

func TestLexBounds(t *testing.T) {
	for _, test := range []struct {
		r            Range
		lower, upper string
	}{
		{Range{}, "-", "+"},
		{Range{Prefix: "a"}, "[a", "(b"},
		{Range{Prefix: "a\x7f"}, "[a\x7f", "(a\x80"},
		{Range{Prefix: "a\xff"}, "[a\xff", "(b"},
		{Range{Prefix: "\xff\xff"}, "[\xff\xff", "+"},
		{Range{Prefix: "b", After: "a"}, "[b", "(c"},
		{Range{Prefix: "b", After: "b"}, "(b", "(c"},
		{Range{Prefix: "b", After: "d"}, "(d", "(c"},
		{Range{After: "a"}, "(a", "+"},
	} {
		lower, upper := lexBounds(test.r)
		if diff := cmp.Diff([]string{test.lower, test.upper}, []string{lower, upper}); diff != "" {
			t.Errorf("lexBounds(%+v) (-want +got):\n%s", test.r, diff)
		}
	}
}
