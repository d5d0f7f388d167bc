package config_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/berth-cache/berth/config"
)

// only returns the single upstream of a file whose upstream block holds these keys.
func only(t *testing.T, keys string) config.Upstream {
	t.Helper()
	c := parse(t, "upstreams: {a: {"+keys+"}, z: {url: \"https://z.example\"}}\n")
	if len(c.Upstreams) != 2 {
		t.Fatalf("%d upstreams", len(c.Upstreams))
	}
	return c.Upstreams[0]
}

func TestUpstreamWithEveryKey(t *testing.T) {
	got := only(t, `url: "HTTPS://Reg.Example:8443/", hosts: [B.example, "[::0001]:05"], owns: [acme, acme/tools/, "my.team"], referrers: z, referrers_for: [acme/x], username: u, password: p, hardened: true,
		validity: forever, negative_validity: 0s, list_validity: 5m, max_stale: 1d12h, max_stale_refused: 0s, keep_deleted: true,
		connections: 2, segment_size: 1MiB, rate: 100/m, concurrency: 3, realms: [Login.Example], private: true, ca_file: ca.pem`)
	want := config.Upstream{
		Name: "a", URL: &url.URL{Scheme: "https", Host: "reg.example:8443"},
		Hosts:     []string{"b.example", "[::1]:5", "reg.example:8443"},
		Owns:      []string{"acme", "acme/tools", "my.team"},
		Referrers: "z", ReferrersFor: []string{"acme/x"},
		Credentials: []config.Credential{{Username: "u", Password: config.NewSecret("p")}}, Hardened: true,
		Validity: config.Forever, NegativeValidity: 0, ListValidity: 5 * time.Minute, MaxStale: 36 * time.Hour, MaxStaleRefused: 0,
		KeepDeleted: true, Connections: 2, SegmentSize: 1 << 20, Rate: config.Rate{Requests: 100, Per: time.Minute}, Concurrency: 3, Realms: []string{"login.example"}, Private: true, CAFile: "ca.pem",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestUpstreamURL(t *testing.T) {
	tests := []struct {
		url, want, host string
		private         bool
	}{
		{"https://quay.io", "https://quay.io", "quay.io", false},
		{"https://quay.io:443", "https://quay.io", "quay.io", false},
		{"http://quay.io:443", "http://quay.io:443", "quay.io:443", false},
		{"http://quay.io:80/", "http://quay.io", "quay.io", false},
		{"http://my_registry:5000", "http://my_registry:5000", "my_registry:5000", false},
		{"http://localhost:5000", "http://localhost:5000", "localhost:5000", true},
		{"https://127.0.0.1", "https://127.0.0.1", "127.0.0.1", true},
		{"https://192.168.1.1:443", "https://192.168.1.1", "192.168.1.1", true},
		{"https://100.64.0.1", "https://100.64.0.1", "100.64.0.1", true},
		{"https://[fd00::0:1]:443", "https://[fd00::1]", "[fd00::1]", true},
		{"https://[::ffff:10.0.0.1]:5000", "https://[::ffff:10.0.0.1]:5000", "[::ffff:10.0.0.1]:5000", true},
		{"https://[::ffff:100.64.0.1]", "https://[::ffff:100.64.0.1]", "[::ffff:100.64.0.1]", true},
		{"https://8.8.8.8", "https://8.8.8.8", "8.8.8.8", false},
		{"https://localhost.example", "https://localhost.example", "localhost.example", false},
	}
	for _, test := range tests {
		u := only(t, fmt.Sprintf("url: %q", test.url))
		got := []any{u.URL.String(), u.Hosts, u.Private}
		if diff := cmp.Diff([]any{test.want, []string{test.host}, test.private}, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.url, diff)
		}
	}
}

func TestFaultsOfURL(t *testing.T) {
	const want = "; write scheme and host alone, such as https://registry.example.com"
	tests := []struct{ url, want string }{
		{"quay.io:443", "has no scheme; write https://quay.io:443"},
		{"quay.io/v2", "is no URL" + want},
		{"", "is no URL" + want},
		{"docker://quay.io", `has the scheme "docker"; write https:// or http://`},
		{"https://", "names no host" + want},
		{"https:///v2", "names no host" + want},
		{"https://bob:hunter2@quay.io", "holds a user name or password; write them as username and password"},
		{"https://bob:hunt/er2@quay.io", "holds a user name or password; write them as username and password"},
		{"https://quay.io?x=y", "has a query or a fragment" + want},
		{"https://quay.io/#x", "has a query or a fragment" + want},
		{"https://quay.io/v2/", `has the path "/v2/" of the registry API; drop it: write https://quay.io`},
		{"https://quay.io/cache/", `has the path "/cache/"; write https://quay.io and put the path before the repository in image names`},
		{"https://registry-1.docker.io/v2/", `has the path "/v2/" of the registry API; drop it: write https://registry-1.docker.io`},
		{"https://registry-1.docker.io/v1", `has the path "/v1" of the registry API; drop it: write https://registry-1.docker.io`},
		{"https://docker.io", "names docker.io, where Docker Hub's registry is not; write https://registry-1.docker.io"},
		{"https://hub.docker.com/", "names hub.docker.com, where Docker Hub's registry is not; write https://registry-1.docker.io"},
		{"https://index.docker.io/v1/", "names index.docker.io, where Docker Hub's registry is not; write https://registry-1.docker.io"},
		{"https://quay io", `"quay io" is no host name; write only a host, such as registry.example.com or 10.0.0.7:5000`},
		{"https://quay.io.", `"quay.io." is no host name; write only a host, such as registry.example.com or 10.0.0.7:5000`},
		{"https://1.2.3", `"1.2.3" is no host name; write only a host, such as registry.example.com or 10.0.0.7:5000`},
		{"https://bücher.example", `"bücher.example" is no host name; write only a host, such as registry.example.com or 10.0.0.7:5000`},
		{"https://quay.io:", `"quay.io:" has no valid port; write a number from 1 to 65535 after the colon`},
		{"https://quay.io:0", `"quay.io:0" has no valid port; write a number from 1 to 65535 after the colon`},
		{"https://::1", `"::1" has colons; put an IPv6 address in brackets: [::1]:5000`},
		{"https://[::1", `"[::1" is no IPv6 address; write only a host, such as registry.example.com or 10.0.0.7:5000`},
		{"https://[10.0.0.1]:5", `"[10.0.0.1]:5" is no IPv6 address; write only a host, such as registry.example.com or 10.0.0.7:5000`},
		{"https://[fe80::1%25eth0]", `"[fe80::1%25eth0]" is no IPv6 address; write only a host, such as registry.example.com or 10.0.0.7:5000`},
		{"http://169.254.169.254", "names 169.254.169.254, an address that berth never connects to; write a registry's host"},
		{"http://[fe80::1]:5000", "names fe80::1, an address that berth never connects to; write a registry's host"},
		{"https://" + strings.Repeat("a.", 126) + "aa", `"` + strings.Repeat("a.", 30) + `…" is no host name; write only a host, such as registry.example.com or 10.0.0.7:5000`},
		{"http://[::ffff:169.254.169.254]", "names ::ffff:169.254.169.254, an address that berth never connects to; write a registry's host"},
		{"http://0.0.0.0:5000", "names 0.0.0.0, an address that berth never connects to; write a registry's host"},
	}
	var all []faultTest
	for _, test := range tests {
		all = append(all, faultTest{test.url, fmt.Sprintf("upstreams:\n  a:\n    url: %q\n", test.url), "berth.yaml:3: upstreams.a.url: " + test.want})
	}
	testFaults(t, all)
}

func TestFaultsOfUpstreams(t *testing.T) {
	// in is a file with one upstream that has these keys as well, in line 3.
	in := func(keys string) string {
		return "upstreams:\n  a: {url: \"https://a.example\",\n    " + keys + "}\n"
	}
	at := func(fault string) string { return "berth.yaml:3: upstreams.a." + fault }
	const host = "; write only a host, such as registry.example.com or 10.0.0.7:5000"
	testFaults(t, []faultTest{
		{"no connections", in("connections: 0"), at(`connections: "0" is no whole number of at least 1; write one`)},
		{"too many connections", in("connections: 33"), at("connections: is more than any registry likes; write 1 to 32")},
		{"small segments", in("segment_size: 1023KiB"), at("segment_size: is out of range; write 1MiB to 1GiB")},
		{"large segments", in("segment_size: 1025MiB"), at("segment_size: is out of range; write 1MiB to 1GiB")},
		{"segments without unit", in("segment_size: 8"), at(`segment_size: "8" has no unit; write a number with a unit, such as 512MiB or 100GiB`)},
		{"none", "upstreams: {}\n", "berth.yaml:1: upstreams: is empty; name at least one upstream, or remove the key to have the built-in ones"},
		{"commented out", "upstreams:\n#  a: {}\n", "berth.yaml:1: upstreams: has no value; write keys with their values, one a line and indented, or remove the key"},
		{"list", "upstreams: [a]\n", "berth.yaml:1: upstreams: is a list; write keys with their values, one a line and indented"},
		{"a URL as the upstream", "upstreams:\n  a: https://u:hunter2@a.example\n", "berth.yaml:2: upstreams.a: is a single value; write keys with their values, one a line and indented"},
		{"name", "upstreams:\n  Quay: {url: \"https://quay.io\"}\n", "berth.yaml:2: upstreams.Quay: is no valid name; write lower-case letters and digits, and . _ - between them"},
		{"name that ends badly", "upstreams:\n  quay-: {url: \"https://quay.io\"}\n", "berth.yaml:2: upstreams.quay-: is no valid name; write lower-case letters and digits, and . _ - between them"},
		{"no url", "upstreams:\n  a:\n    hardened: true\n", "berth.yaml:2: upstreams.a.url: is missing; write scheme and host alone, such as https://registry.example.com"},
		{"key, misspelt", in("negative-validity: 5s"), at("negative-validity: is no key here; did you mean negative_validity?")},
		{"password without a space", in("password:hunter2"), at("password: is no key here; write a space after the colon")},
		{"number as a password", in("username: u, password: 123"), at("password: is a number where text belongs; put it in quotes")},
		{"list as a password", in("username: u, password: [hunter2]"), at("password: is a list; write a single value")},
		{"username alone", in("username: u"), at("username: has no password beside it; write password or password_file, or remove the username for anonymous pulls")},
		{"password alone", in("password: hunter2"), at("password: has no username beside it; write one, or remove the password for anonymous pulls")},
		{"password file alone", in("password_file: f"), at("password_file: has no username beside it; write one, or remove the file for anonymous pulls")},
		{"two passwords", in("username: u, password: hunter2, password_file: f"), at("password_file: stands beside password; keep one of the two")},
		{"password expands to nothing", in(`username: u, password: "${EMPTY}"`), at("username: has no password beside it; write password or password_file, or remove the username for anonymous pulls")},
		{"both in the user name", in(`username: "u:hunter2", password: x`), at("username: holds a colon, which HTTP logins cannot carry; write the name alone, and the password as password")},
		{"two places for a login", in("username: u, password: x, docker_config: config.json"), at("docker_config: stands beside a username or a password; keep one of the two")},
		{"a number as a docker_config", in("docker_config: 1"), at("docker_config: is a number where text belongs; put it in quotes")},
		{"an account twice", in("username: u, password: x, credentials: [{username: u, password: y}]"), at(`credentials[0]: is "u" again, first in line 2; keep one`)},
		{"one account for a list", in("credentials: {username: u, password: x}"), at("credentials: is a block of keys; write a list: [a, b]")},
		{"a name for an account", in("credentials: [u]"), at("credentials[0]: is a single value; write keys with their values, one a line and indented")},
		{"a key of an account", in("credentials: [{username: u, pasword: hunter2}]"), at("credentials[0].pasword: is no key here; did you mean password?") + "\n" + at("credentials[0].username: has no password beside it; write password or password_file, or remove the username for anonymous pulls")},
		{"too many accounts", in("credentials: [{username: u, password: x}" + strings.Repeat(", {}", 8) + "]"), at("credentials: has more than 8 accounts; keep those that are needed")},
		{"an unknown keychain", in("keychain: aws"), at(`keychain: "aws" is not known; write one of ecr, google, azure`)},
		{"a keychain and a password", in("keychain: ecr, username: u, password: x"), at("keychain: stands beside another login; keep one of them")},
		{"a keychain twice", in("keychain: ecr, credentials: [{keychain: ecr}]"), at(`credentials[0]: is "keychain ecr" again, first in line 2; keep one`)},
		{"one host for a list", in("hosts: b.example"), at("hosts: is a single value; write a list: [a, b]")},
		{"URL as a host", in(`hosts: ["https://b.example"]`), at(`hosts[0]: "https://b.example" is a URL` + host)},
		{"path in a host", in("hosts: [a.example/b]"), at(`hosts[0]: "a.example/b" has a path` + host)},
		{"login in a host", in(`hosts: ["u:hunter2@b"]`), at("hosts[0]: holds an @" + host)},
		{"empty host", in(`hosts: [b, ""]`), at("hosts[1]: is empty" + host)},
		{"number as a host", in("hosts: [5000]"), at(`hosts[0]: "5000" is no host name` + host)},
		{"host twice", in("hosts: [b.example, B.example]"), at("hosts[1]: b.example is here twice, first in line 3; keep one")},
		{"realm", in("realms: [\"*.example.com\"]"), at(`realms[0]: "*.example.com" is no host name` + host)},
		{"flag", in("hardened: yes"), at(`hardened: "yes" is neither true nor false; write one of them`)},
		{"no unit", in("validity: 24"), at(`validity: "24" has no unit; write it with one, as in 90s, 15m, 24h or 30d`)},
		{"zero without unit", in("validity: 0"), at(`validity: "0" has no unit; write 0s`)},
		{"negative", in("max_stale: -1d"), at(`max_stale: "-1d" is negative; write 0s or more`)},
		{"no duration", in("list_validity: soon"), at(`list_validity: "soon" is no duration; write a number with a unit, such as 90s, 15m, 24h or 30d`)},
		{"forever where it makes no sense", in("negative_validity: forever, list_validity: forever"), at("negative_validity: cannot be forever; write a duration, such as 60s or 24h") + "\n" + at("list_validity: cannot be forever; write a duration, such as 60s or 24h")},
		{"not private, but it is", "upstreams:\n  a:\n    url: http://10.0.0.1\n    private: false\n", "berth.yaml:4: upstreams.a.private: is false, but the url names the private address 10.0.0.1; remove the key, or write true"},
		{"docker_config in clear text", "upstreams:\n  a: {url: \"http://a.example\", docker_config: x}\n", "berth.yaml:2: upstreams.a.url: would send the password in clear text; write https://, or private: true if a.example is in your own network"},
		{"password in clear text", "upstreams:\n  a: {url: \"http://a.example\", username: u, password: x}\n", "berth.yaml:2: upstreams.a.url: would send the password in clear text; write https://, or private: true if a.example is in your own network"},
	})
}

func TestFaultsOfTwoUpstreamsThatAreOne(t *testing.T) {
	const login = ", username: u, password: x}\n"
	testFaults(t, []faultTest{
		{
			"anonymous", "upstreams:\n  a: {url: \"https://a.example\"}\n  b: {url: \"HTTPS://A.example:443/\"}\nregistries:\n  a: {upstreams: [a]}\n  b: {upstreams: [b]}\n",
			"berth.yaml:3: upstreams.b: has the url and username of upstream a (line 2): they would share one cache; make them one upstream",
		},
		{
			"one account", "upstreams:\n  a: {url: \"https://a.example\"" + login + "  b: {url: \"https://a.example\", private: true" + login + "registries:\n  a: {upstreams: [a]}\n  b: {upstreams: [b]}\n",
			"berth.yaml:3: upstreams.b: has the url and username of upstream a (line 2): they would share one cache; make them one upstream",
		},
		{
			"one file", "upstreams:\n  a: {url: \"https://a.example\", docker_config: c}\n  b: {url: \"https://a.example\", docker_config: ./c}\nregistries:\n  a: {upstreams: [a]}\n  b: {upstreams: [b]}\n",
			"berth.yaml:3: upstreams.b: has the url and username of upstream a (line 2): they would share one cache; make them one upstream",
		},
	})
	parse(t, "upstreams:\n  a: {url: \"https://a.example\"}\n  b: {url: \"https://a.example\""+login+"registries:\n  a: {upstreams: [a]}\n  b: {upstreams: [b]}\n")
}

func TestListOfCredentials(t *testing.T) {
	of := func(name, password string) config.Credential {
		return config.Credential{Username: name, Password: config.NewSecret(password)}
	}
	file := config.Credential{DockerConfigFile: "c.json", DockerConfig: config.NewSecret(""), Password: config.NewSecret("")}
	const list = `credentials: [{username: b, password: y}, {username: "${NONE:-}", password: "${NONE:-}"}, {docker_config: c.json}, {keychain: google}]`
	google := config.Credential{Keychain: "google", DockerConfig: config.NewSecret(""), Password: config.NewSecret("")}
	for keys, want := range map[string][]config.Credential{
		"username: a, password: x, " + list: {of("a", "x"), of("b", "y"), file, google},
		list:                                {of("b", "y"), file, google},
		"credentials: []":                   nil,
		`credentials: [{username: "", password: ""}]`:    nil,
		"credentials: [{username: b, password_file: f}]": {of("b", "")},
	} {
		got := only(t, `url: "https://a.example", `+keys).Credentials
		for i := range got {
			if got[i].DockerConfigFile == "" {
				got[i].DockerConfig = config.Secret{}
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", keys, diff)
		}
	}
}

func TestDockerHubHasItsNamesByItself(t *testing.T) {
	for _, test := range []struct {
		keys string
		want []string
	}{
		{"", []string{"docker.io", "index.docker.io", "registry-1.docker.io"}},
		{", hosts: [hub.example]", []string{"hub.example", "docker.io", "index.docker.io", "registry-1.docker.io"}},
		{", hosts: [registry-1.docker.io, docker.io]", []string{"registry-1.docker.io", "docker.io", "index.docker.io"}},
	} {
		if diff := cmp.Diff(test.want, only(t, `url: "https://registry-1.docker.io:443"`+test.keys).Hosts); diff != "" {
			t.Errorf("hosts with %q (-want +got):\n%s", test.keys, diff)
		}
	}
}

func TestPasswordInClearTextOnAPrivateNetwork(t *testing.T) {
	only(t, `url: "http://a.example", private: true, username: u, password: x`)
	only(t, `url: "http://localhost", username: u, password: x`)
}

func TestEmptyCredentialsAreNone(t *testing.T) {
	u := only(t, `url: "https://a.example", username: "${U:-}", password: "${P:-}", password_file: "${F:-}", docker_config: "${D:-}", ca_file: "${C:-}"`)
	if got := fmt.Sprint(u.Credentials) + u.CAFile; got != "[]" {
		t.Errorf("got %q", got)
	}
}

func TestURLOwnHostMayBeListed(t *testing.T) {
	u := only(t, `url: "https://a.example", hosts: [a.example, b.example]`)
	if diff := cmp.Diff([]string{"a.example", "b.example"}, u.Hosts); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestFaultsOfOwns(t *testing.T) {
	const no = " is no name of a repository, nor the beginning of one; write such as acme, or acme/tools, which mean what is below them too"
	for name, test := range map[string]struct{ owns, want string }{
		"a pattern":    {`["acme/*"]`, `"acme/*"` + no},
		"upper case":   {`[Acme]`, `"Acme"` + no},
		"everything":   {`["/"]`, `"/"` + no},
		"leading":      {`["/acme"]`, `"/acme"` + no},
		"twice":        {`[acme, acme/]`, `"acme/" is here twice; keep one`},
		"no list":      {`{a: b}`, ``},
		"with a colon": {`["acme/app:1"]`, `"acme/app:1"` + no},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := config.Parse("berth.yaml", []byte("upstreams: {a: {url: \"https://a.example\", owns: "+test.owns+"}}\n"), nil)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %s", err, test.want)
			}
		})
	}
}

func TestRates(t *testing.T) {
	for text, want := range map[string]config.Rate{
		"1/s": {Requests: 1, Per: time.Second}, "5000/h": {Requests: 5000, Per: time.Hour},
	} {
		if got := only(t, `url: "https://a.example", rate: `+text).Rate; got != want {
			t.Errorf("%s: %+v", text, got)
		}
	}
	for _, text := range []string{"1", "0/s", "-1/s", "1/d", "/s", "1/", "1.5/s", "1 / s", "many/s", "1000001/s", `""`} {
		_, err := config.Parse("berth.yaml", []byte(`upstreams: {a: {url: "https://a.example", rate: `+text+"}}\n"), nil)
		if err == nil || !strings.Contains(err.Error(), "rate") || text != `""` && !strings.Contains(err.Error(), "no rate; write a number in a second, minute or hour") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestFaultsOfReferrers(t *testing.T) {
	for name, test := range map[string]struct{ a, b, want string }{
		"itself":         {"referrers: a", "", "berth.yaml:2: upstreams.a.referrers: is the upstream itself, which is asked anyway; remove the key, or name another"},
		"a slip":         {"referrers: scot", "", `berth.yaml:2: upstreams.a.referrers: "scot" is no upstream; did you mean scout?`},
		"unknown":        {"referrers: elsewhere", "", `berth.yaml:2: upstreams.a.referrers: "elsewhere" is no upstream; the upstreams are a, scout`},
		"a chain":        {"referrers: scout", "referrers: a", `"scout" has referrers elsewhere itself, which is not followed; name the upstream that has them`},
		"for nobody":     {"referrers_for: [acme]", "", "berth.yaml:2: upstreams.a.referrers_for: has no referrers beside it; write the upstream that has them"},
		"for a bad name": {"referrers: scout, referrers_for: [Acme]", "", `upstreams.a.referrers_for[0]: "Acme" is no name of a repository`},
	} {
		t.Run(name, func(t *testing.T) {
			text := "upstreams:\n  a: {url: \"https://a.example\", " + test.a + "}\n  scout: {url: \"https://scout.example\", " + test.b + "}\n"
			_, err := config.Parse("berth.yaml", []byte(text), nil)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %s", err, test.want)
			}
		})
	}
}

// An upstream that is there for another's referrers is in no registry by itself.
func TestSourceOfReferrersIsInNoRegistry(t *testing.T) {
	c := parse(t, "upstreams:\n  a: {url: \"https://a.example\", referrers: scout}\n  scout: {url: \"https://scout.example\"}\n  b: {url: \"https://b.example\"}\n")
	if diff := cmp.Diff([]string{"a", "b"}, c.Registries[0].Upstreams); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
