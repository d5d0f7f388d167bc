package upstream_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/berth-cache/berth/upstream"
	"github.com/berth-cache/berth/upstream/upstreamtest"
)

// gossip is a registry and a token service that repeat all they are sent, in every place.
type gossip struct {
	status int
	basic  bool
}

func (g gossip) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	if err := q.ParseForm(); err != nil {
		return
	}
	said := strings.TrimPrefix(strings.TrimPrefix(q.Header.Get("Authorization"), "Basic "), "Bearer ") + " " + q.PostForm.Get("refresh_token")
	if user, word, ok := q.BasicAuth(); ok {
		said += " " + user + " " + word + " " + url.QueryEscape(word)
	}
	w.Header().Set("Docker-Ratelimit-Source", said)
	w.Header().Set("Ratelimit-Limit", "1")
	w.Header().Set("Ratelimit-Remaining", "1")
	if g.basic {
		w.Header().Set("WWW-Authenticate", `Basic realm="`+said+`"`)
	} else {
		w.Header().Set("WWW-Authenticate", `Bearer realm="https://r.example.com/token",service="`+said+`"`)
	}
	switch {
	case q.URL.Path == "/token" && g.status != http.StatusUnauthorized:
		fmt.Fprint(w, `{"token": "t0ken-t0ken"}`)
	case q.Header.Get("Authorization") == "":
		w.WriteHeader(http.StatusUnauthorized)
	default:
		w.WriteHeader(g.status)
		fmt.Fprintf(w, `{"errors":[{"code":"DENIED","message":%q}]}`, said)
	}
}

// TestNothingTellsASecret looks for what logs a Client in in all that comes out of one.
func TestNothingTellsASecret(t *testing.T) {
	const word, identity = "p4ss w/rd+hunter2", "1dentity/hunter2"
	logins := map[string]upstream.Credential{
		"password":       upstream.Password(user, word),
		"config.json":    upstream.DockerConfig("c", auths("r.example.com", entry(user, word))),
		"identity token": upstream.DockerConfig("c", auths("r.example.com", `{"identitytoken": "`+identity+`"}`)),
		"lookup": upstream.Lookup("ecr", func(context.Context, string) (upstream.Found, error) {
			return upstream.Found{Username: user, Password: word, Expires: time.Now().Add(time.Hour)}, nil
		}),
	}
	planted := []string{"hunter2", "t0ken", url.QueryEscape(word), base64.StdEncoding.EncodeToString([]byte(user + ":" + word))}
	for name, login := range logins {
		for _, g := range []gossip{{status: 200}, {401, true}, {401, false}, {403, true}, {403, false}, {404, false}, {429, false}, {500, true}} {
			var out bytes.Buffer
			n, registry := upstreamtest.NewNetwork(t), prometheus.NewPedanticRegistry()
			var held upstream.Config
			c := newClient(t, n.Serve("https://r.example.com", g), on(n), func(cfg *upstream.Config) {
				cfg.Credentials, cfg.Metrics = []upstream.Credential{login}, upstream.NewMetrics(registry)
				cfg.Logger = slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
				held = *cfg
			})
			resp, err := c.Do(t.Context(), manifest("a", "1"))
			if err == nil {
				resp.Body.Close()
			}
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
				fmt.Fprintf(&out, verb+verb+verb+verb+verb, err, login, held, c, struct{ c any }{c})
			}
			limit, _ := c.RateLimit()
			fmt.Fprintf(&out, "%+v %s", limit, c.Fingerprint())
			families, err := registry.Gather()
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprint(&out, families)
			for _, p := range planted {
				if i := strings.Index(out.String(), p); i >= 0 {
					t.Errorf("%s, status %d: %q is in …%s", name, g.status, p, out.String()[max(0, i-80):min(out.Len(), i+40)])
				}
			}
			if out.Len() < 2000 {
				t.Errorf("only %d bytes to look at", out.Len())
			}
		}
	}
}
