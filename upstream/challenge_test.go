package upstream_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/berth-cache/berth/upstream"
)

func TestChallenges(t *testing.T) {
	type params = map[string]string
	one := func(scheme string, p params) []upstream.Challenge {
		return []upstream.Challenge{{Scheme: scheme, Params: p}}
	}
	cases := []struct {
		name  string
		lines []string
		want  []upstream.Challenge
	}{
		{"nothing", nil, nil},
		{"empty", []string{"", " , ,"}, nil},
		{
			"docker hub",
			[]string{`Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull"`},
			one("bearer", params{"realm": "https://auth.docker.io/token", "service": "registry.docker.io", "scope": "repository:a/b:pull"}),
		},
		{"basic", []string{`Basic realm="Registry Realm"`}, one("basic", params{"realm": "Registry Realm"})},
		{"no quotes", []string{`Bearer realm=https://a.test/token,service=x`}, one("bearer", params{"realm": "https://a.test/token", "service": "x"})},
		{"spaces", []string{"bEARER  realm = \"a\" ,\t SERVICE = b"}, one("bearer", params{"realm": "a", "service": "b"})},
		{"comma in quotes", []string{`Bearer scope="a:b:pull,push",realm="r"`}, one("bearer", params{"scope": "a:b:pull,push", "realm": "r"})},
		{"escapes", []string{`Basic realm="a \"b\" \\ c"`}, one("basic", params{"realm": `a "b" \ c`})},
		{"first of two equal names", []string{`Bearer realm="a",realm="b"`}, one("bearer", params{"realm": "a"})},
		{"scheme alone", []string{"Negotiate"}, one("negotiate", params{})},
		{
			"two in one line",
			[]string{`Basic realm="x", Bearer realm="y",service="z"`},
			[]upstream.Challenge{{Scheme: "basic", Params: params{"realm": "x"}}, {Scheme: "bearer", Params: params{"realm": "y", "service": "z"}}},
		},
		{
			"two lines",
			[]string{`Basic realm="x"`, `Bearer realm="y"`},
			[]upstream.Challenge{{Scheme: "basic", Params: params{"realm": "x"}}, {Scheme: "bearer", Params: params{"realm": "y"}}},
		},
		{
			"token68 before another",
			[]string{`Negotiate oYIB/+a==, Basic realm="x"`},
			[]upstream.Challenge{{Scheme: "negotiate", Params: params{}}, {Scheme: "basic", Params: params{"realm": "x"}}},
		},
		{"open quote", []string{`Basic realm="x", Bearer realm="y`}, one("basic", params{"realm": "x"})},
		{"parameter of nothing", []string{`realm="x"`}, nil},
		{"too long", []string{"Basic realm=" + strings.Repeat("x", 9000)}, nil},
		{"not a token", []string{`"Basic" realm=x`}, nil},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, upstream.Challenges(tc.lines...)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func FuzzChallenges(f *testing.F) {
	for _, seed := range []string{
		`Bearer realm="https://a/token",service="s",scope="repository:a:pull"`, `Basic realm=x, Negotiate abc==`,
		`Bearer realm="\"`, `=,=`, "a=b", `Digest a="`, `x y z`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		total := 0
		for _, c := range upstream.Challenges(line) {
			if c.Scheme == "" || utf8.ValidString(line) && c.Scheme != strings.ToLower(c.Scheme) {
				t.Errorf("scheme %q", c.Scheme)
			}
			total += len(c.Scheme)
			for name, value := range c.Params {
				if name == "" {
					t.Errorf("parameter without a name: %q", value)
				}
				total += len(name) + len(value)
			}
		}
		if total > len(line) {
			t.Errorf("%d bytes read out of %d", total, len(line))
		}
	})
}

func TestScopeFrom(t *testing.T) {
	cases := []struct{ name, challenged, want string }{
		{"ours", "repository:a/b:pull", "repository:a/b:pull"},
		{"class", "repository(plugin):a/b:pull", "repository(plugin):a/b:pull"},
		{"none", "", "repository:a/b:pull"},
		{"placeholder", "repository:user/image:pull", "repository:a/b:pull"},
		{"more rights", "repository:a/b:pull,push", "repository:a/b:pull"},
		{"more scopes", "repository:x:push repository:a/b:pull", "repository:a/b:pull"},
		{"registry", "registry:catalog:*", "repository:a/b:pull"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			if got := upstream.ScopeFrom(tc.challenged, "a/b"); got != tc.want {
				t.Errorf("scope %q, want %q", got, tc.want)
			}
		})
	}
}
