package config_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/berth-cache/berth/config"
)

func TestVariables(t *testing.T) {
	env := map[string]string{"A": "one", "EMPTY": "", "NESTED": "${A}$$"}
	tests := []struct{ text, want string }{
		{"${A}", "one"},
		{"x${A}y${A}z", "xoneyonez"},
		{"${EMPTY}x", "x"},
		{"${EMPTY:-two}", "two"},
		{"${B:-two}", "two"},
		{"${A:-two}", "one"},
		{"x${B:-}", "x"},
		{"${B:-a:-$b}", "a:-$b"},
		{"${NESTED}", "${A}$$"},
		{"a$b", "a$b"},
		{"a$", "a$"},
		{"$$", "$"},
		{"$${A}", "${A}"},
		{"$$${A}", "$one"},
		{"a}b{c", "a}b{c"},
	}
	for _, test := range tests {
		t.Run(test.text, func(t *testing.T) {
			text := "upstreams: {a: {url: \"https://a.example\", username: u, password: " + strconv.Quote(test.text) + "}}"
			c, err := config.Parse("berth.yaml", []byte(text), func(name string) (string, bool) {
				s, set := env[name]
				return s, set
			})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, c.Upstreams[0].Credentials[0].Password.Reveal()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestVariablesInOtherValues(t *testing.T) {
	env := func(name string) (string, bool) {
		s, set := map[string]string{"PORT": "7000", "YES": "true", "TTL": "forever", "HOST": "B.example"}[name]
		return s, set
	}
	c, err := config.Parse("berth.yaml", []byte(`
listen: :${PORT}
upstreams:
  a: {url: "https://${HOST}", hardened: "${YES}", validity: "${TTL}", max_stale: "${STALE:-2d}"}
`), env)
	if err != nil {
		t.Fatal(err)
	}
	u := c.Upstreams[0]
	got := []any{c.Listen, u.Hosts, u.Hardened, u.Validity, u.MaxStale}
	if diff := cmp.Diff([]any{":7000", []string{"b.example"}, true, config.Forever, 48 * time.Hour}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestFaultsOfVariables(t *testing.T) {
	const literal = ", or $${ for a literal ${"
	testFaults(t, []faultTest{
		{"not set", "ops: :1\ndata: /srv/${DATA}\n", "berth.yaml:2: data: the variable DATA is not set; set it, or write ${DATA:-default}"},
		{
			"two of them", "data: ${A}/${B}\n",
			"berth.yaml:1: data: the variable A is not set; set it, or write ${A:-default}\nberth.yaml:1: data: the variable B is not set; set it, or write ${B:-default}",
		},
		{"not closed", "data: a${hunter2\n", "berth.yaml:1: data: has a ${ that no } closes; close it, or write $${ for a literal ${"},
		{"no name", "data: a${hunter 2}\n", "berth.yaml:1: data: has a ${…} that names no variable; write ${NAME} or ${NAME:-default}" + literal},
		{"another operator", "data: ${A:?}\n", "berth.yaml:1: data: has a ${…} that names no variable; write ${NAME} or ${NAME:-default}" + literal},
		{"in an unknown key", "dta: ${A}\n", "berth.yaml:1: dta: is no key here; did you mean data?"},
		{"in a list", "registries: {default: {upstreams: [\"${A}\"]}}\n", "berth.yaml:1: registries.default.upstreams[0]: the variable A is not set; set it, or write ${A:-default}"},
	})
}
