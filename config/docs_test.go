package config_test

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/berth-cache/berth/config"
)

// manual returns docs/configuration.md and the YAML examples in it.
func manual(t *testing.T) (text string, examples []string) {
	t.Helper()
	data, err := os.ReadFile("../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile("(?ms)^```yaml\n(.*?)^```").FindAllSubmatch(data, -1) {
		examples = append(examples, string(m[1]))
	}
	if len(examples) < 5 {
		t.Fatalf("found %d examples", len(examples))
	}
	return string(data), examples
}

func TestEveryExampleOfTheManualParses(t *testing.T) {
	_, examples := manual(t)
	for _, example := range examples {
		if _, err := config.Parse("docs.yaml", []byte(example), anyVariable); err != nil {
			t.Errorf("%v\n%s", err, example)
		}
	}
}

// The README's sample is pasted as it is, into an environment that has none of its variables.
func TestSampleOfTheReadmeParses(t *testing.T) {
	data, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?ms)^```yaml\n(.*?)^```").FindSubmatch(data)
	if m == nil || bytes.Contains(m[1], []byte(" password_file:")) && !bytes.Contains(m[1], []byte("# or password_file:")) {
		t.Fatalf("no sample, or one that needs a file:\n%s", m)
	}
	parse(t, string(m[1]))
}

func TestManualWritesOutTheDefaults(t *testing.T) {
	_, examples := manual(t)
	const everything = 1 // the second example
	got := parse(t, examples[everything])
	if diff := cmp.Diff(parse(t, "{}"), got); diff != "" {
		t.Errorf("a file of {} differs from the manual's defaults (-empty +manual):\n%s", diff)
	}
}

func TestManualHasEveryKey(t *testing.T) {
	text, _ := manual(t)
	top, rest, _ := strings.Cut(text, "## Upstreams")
	upstreams, registries, _ := strings.Cut(rest, "## Registries")
	for _, key := range config.KnownKeys() {
		section, row := top, key
		if k, found := strings.CutPrefix(key, "upstreams.*."); found {
			section, row = upstreams, k
		}
		if k, found := strings.CutPrefix(key, "registries.*."); found {
			section, row = registries, k
		}
		if !strings.Contains(section, "\n| `"+row+"` | ") {
			t.Errorf("docs/configuration.md has no row for %s", key)
		}
	}
}

func TestManualHasNoOtherKey(t *testing.T) {
	text, _ := manual(t)
	known := map[string]bool{}
	for _, key := range config.KnownKeys() {
		known[key[strings.LastIndex(key, ".")+1:]] = true
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `(?:[a-z]+\\.)?([a-z_]+)` \\|").FindAllStringSubmatch(text, -1) {
		if !known[m[1]] {
			t.Errorf("docs/configuration.md has a row for %s, which is no key", m[1])
		}
	}
}
