package config_test

import (
	"bytes"
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/berth-cache/berth/config"
)

// FuzzParse holds Parse to what its callers rely on, whatever the file: no panic, faults
// with a line that exists, or a configuration without holes.
func FuzzParse(f *testing.F) {
	manual, err := os.ReadFile("../docs/configuration.md")
	if err != nil {
		f.Fatal(err)
	}
	for _, m := range regexp.MustCompile("(?ms)^```yaml\n(.*?)^```").FindAllSubmatch(manual, -1) {
		f.Add(m[1])
	}
	for _, seed := range []string{
		"", "---\n", "- a\n", "listen: [\n", "a: &a [*a]\n", "<<: {}\n", "? {a: b}\n: c\n", "listen: :1\n---\nops: [",
		"upstreams: {a: {url: \"http://[::1]:80\", username: u, password: \"$${${X}\", validity: 1d1h}}\n",
		"registries: {a: {upstreams: [dhi, dih], path: x/y, hosts: [\"[::1]:5\"]}}\n", "upstreams:\n a:\n   url: x\n  b: y\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := config.Parse("berth.yaml", data, anyVariable)
		if err != nil {
			checkFaults(t, data, err)
			return
		}
		checkWhole(t, c)
	})
}

func checkFaults(t *testing.T, data []byte, err error) {
	faults, found := errors.AsType[config.Faults](err)
	if !found || len(faults) == 0 {
		t.Fatalf("error %v", err)
	}
	// YAML knows more line ends than the newline.
	last := 1 + bytes.Count(data, []byte("\n")) + bytes.Count(data, []byte("\r")) + strings.Count(string(data), "\u0085") +
		strings.Count(string(data), "\u2028") + strings.Count(string(data), "\u2029")
	line := 0
	for _, fault := range faults {
		if fault.Line < line || fault.Line > last || fault.Line == 0 && len(data) <= 1<<20 {
			t.Errorf("line %d after %d of %d: %v", fault.Line, line, last, fault)
		}
		line = fault.Line
		if strings.ContainsAny(fault.Error(), "\r\n") || fault.Message == "" {
			t.Errorf("fault %q", fault.Error())
		}
	}
}

func checkWhole(t *testing.T, c *config.Config) {
	known := map[string]bool{}
	for _, u := range c.Upstreams {
		known[u.Name] = true
		if u.URL == nil || !slices.Contains(u.Hosts, u.URL.Host) || u.URL.Host != strings.ToLower(u.URL.Host) {
			t.Errorf("upstream %s: url %v, hosts %q", u.Name, u.URL, u.Hosts)
		}
		if min(u.Validity, u.NegativeValidity, u.ListValidity, u.MaxStale, u.MaxStaleRefused) < 0 {
			t.Errorf("upstream %s has a negative duration", u.Name)
		}
	}
	paths := map[string]bool{}
	for _, r := range c.Registries {
		if len(r.Upstreams) == 0 || paths[r.Path] || (r.Path == "") != (r.Name == "default") {
			t.Errorf("registry %+v", r)
		}
		paths[r.Path] = true
		for _, u := range r.Upstreams {
			if !known[u] {
				t.Errorf("registry %s has the upstream %s", r.Name, u)
			}
		}
	}
	if len(known) != len(c.Upstreams) || len(known) == 0 || len(c.Registries) == 0 || c.Listen == "" || c.Data == "" {
		t.Errorf("config %+v", c)
	}
}
