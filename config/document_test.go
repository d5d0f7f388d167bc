package config_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/berth-cache/berth/config"
)

func TestFaultsOfSyntax(t *testing.T) {
	testFaults(t, []faultTest{
		{
			"unclosed bracket", "listen: :1\nops: [1,\ndata: 2\n",
			"berth.yaml:2: is not valid YAML: did not find expected ',' or ']'; close the bracket or brace that opens here, and put values that hold any of { } [ ] , in quotes",
		},
		{
			"variable without quotes in braces", "upstreams:\n  a: {password: ${X}}\n",
			"berth.yaml:2: is not valid YAML: did not find expected ',' or '}'; close the bracket or brace that opens here, and put values that hold any of { } [ ] , in quotes",
		},
		{
			"wrong indentation far down", "upstreams:\n  a:\n    url: x\n    private: true\n   hosts: [x]\nlisten: x\n",
			"berth.yaml:5: is not valid YAML: did not find expected key; indent the line like the key it belongs beside",
		},
		{
			"wrong indentation after a list", "upstreams:\n  a:\n    hosts:\n      - b\n      c: d\n",
			"berth.yaml:5: is not valid YAML: did not find expected '-' indicator; indent the line like the key it belongs beside",
		},
		{
			"tab", "upstreams:\n\ta: {}\n",
			"berth.yaml:2: is not valid YAML: found character that cannot start any token; indent with spaces, not tabs, and put values that start with any of @ ` % in quotes",
		},
		{
			"two colons in the first line", "listen: a: b\n",
			"berth.yaml:1: is not valid YAML: mapping values are not allowed in this context; put values that hold a colon and a space in quotes, and indent keys of one block alike",
		},
		{
			"no colon", "listen: :1\ndata: x\nops\nlog: {}\n",
			"berth.yaml:3: is not valid YAML: could not find expected ':'; write key: value, with a space after the colon",
		},
		{
			"unclosed quote", "listen: :1\ndata: \"x\nops: :2\n",
			"berth.yaml:2: is not valid YAML: found unexpected end of stream; close the quote",
		},
		{
			"alias to nothing", "listen: :1\nupstreams:\n  a: {password: *x}\n",
			"berth.yaml:3: is not valid YAML: alias of nothing; write the value out, or in quotes if it starts with *",
		},
		{
			"unknown escape", "listen: :1\ndata: \"C:\\data\"\n",
			"berth.yaml:2: is not valid YAML: found unknown escape character; check quotes, colons and indentation",
		},
		{
			"a second document", "listen: :1\n---\nlisten: :2\n",
			"berth.yaml:2: a second YAML document starts here; keep one, and remove the line ---",
		},
		{
			"a broken second document", "listen: :1\n---\nops: [\n",
			"berth.yaml:3: is not valid YAML: did not find expected node content; put values that hold any of { } [ ] , in quotes",
		},
		{"invalid UTF-8", "listen: :1\ndata: \xe4\n", "berth.yaml:2: is not UTF-8; save the file as UTF-8"},
		{"UTF-16", "\xff\xfel\x00", "berth.yaml:1: is not UTF-8; save the file as UTF-8"},
		{"control character", "listen: :1\n\ndata: a\x01\n", "berth.yaml:3: holds the control character U+0001; remove it"},
		{"control character of a terminal", "data: a\x7f\n", "berth.yaml:1: holds the control character U+007F; remove it"},
		{"too large", strings.Repeat("#", 1<<20) + "\n", "berth.yaml: is larger than 1 MiB; is this the right file?"},
	})
}

func TestFaultsOfStructure(t *testing.T) {
	testFaults(t, []faultTest{
		{"a list as the file", "- listen\n", "berth.yaml:1: is a list; write keys with their values, one a line and indented"},
		{"a text as the file", "# note\nlisten\n", "berth.yaml:2: is a single value; write keys with their values, one a line and indented"},
		{"unknown key, near a known one", "listen: :1\nopps: :2\n", "berth.yaml:2: opps: is no key here; did you mean ops?"},
		{"letters swapped", "lgo: {levle: info}\n", "berth.yaml:1: lgo: is no key here; did you mean log?"},
		{"unknown key, near none", "colour: {}\n", "berth.yaml:1: colour: is no key here; the keys are listen, tls, max_connections, drain, ops, pprof, data, cache, state, log, upstreams, registries"},
		{"unknown key of a block", "log:\n  level: info\n  colour: red\n", "berth.yaml:3: log.colour: is no key here; the keys are level, format"},
		{"endless unknown key", strings.Repeat("x", 100) + ": 1\n", `berth.yaml:1: "` + strings.Repeat("x", 60) + `…": is no key here; the keys are listen, tls, max_connections, drain, ops, pprof, data, cache, state, log, upstreams, registries`},
		{"key with a newline", "\"a\\nb\": 1\n", `berth.yaml:1: "a\nb": is no key here; the keys are listen, tls, max_connections, drain, ops, pprof, data, cache, state, log, upstreams, registries`},
		{"empty key", "? \n: 1\n", `berth.yaml:1: "": is no key here; the keys are listen, tls, max_connections, drain, ops, pprof, data, cache, state, log, upstreams, registries`},
		{"list as a key", "? [listen]\n: 1\n", "berth.yaml:1: has a key that is not plain text; write each key out, without & * << and brackets"},
		{"merge key", "log:\n  <<: {level: info}\n", "berth.yaml:2: log: has a key that is not plain text; write each key out, without & * << and brackets"},
		{"duplicate key", "listen: :1\nops: :2\nlisten: :3\n", "berth.yaml:3: listen: is here twice, first in line 1; keep one"},
		{
			"anchor and alias", "log: &l {level: info}\nstate: *l\n",
			"berth.yaml:1: log: uses a YAML anchor or alias; write the value out, or in quotes if it starts with & or *\n" +
				"berth.yaml:2: state: uses a YAML anchor or alias; write the value out, or in quotes if it starts with & or *",
		},
		{"value missing", "listen:\nops: :1\n", "berth.yaml:1: listen: has no value; write one, in quotes if it starts with #, or remove the key"},
		{"block missing", "ops: :1\nlog:\n", "berth.yaml:2: log: has no value; write keys with their values, one a line and indented, or remove the key"},
		{"value in the next line", "listen:\n  x\n", `berth.yaml:2: listen: "x" is no address to listen on; write host:port, such as 127.0.0.1:5000, [::1]:5000 or :5000`},
		{"list for a value", "listen: [a]\n", "berth.yaml:1: listen: is a list; write a single value"},
		{"block for a value", "listen:\n  a: b\n", "berth.yaml:1: listen: is a block of keys; write a single value"},
		{"value for a block", "log: info\n", "berth.yaml:1: log: is a single value; write keys with their values, one a line and indented"},
		{"tag on a value", "listen: !x :1\n", `berth.yaml:1: listen: has a YAML tag; remove the tag, or put the value in quotes if it starts with !`},
		{"tag on a block", "log: !x {}\n", `berth.yaml:1: log: has a YAML tag; remove the tag`},
		{"number for text", "data: 0123\n", "berth.yaml:1: data: is a number where text belongs; put it in quotes"},
		{"boolean for text", "data: true\n", "berth.yaml:1: data: is true or false where text belongs; put it in quotes"},
		{"date for text", "data: 2026-01-01\n", "berth.yaml:1: data: is a date where text belongs; put it in quotes"},
	})
}

func TestFileThatSaysNothingHasTheDefaults(t *testing.T) {
	want := config.Default()
	want.Data = "/var/lib/berth"
	for _, text := range []string{"", "\n\n", "# only this\n", "---\n", "{}", "\ufeff"} {
		want.Empty = text != "{}"
		if diff := cmp.Diff(want, parse(t, text)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
}

func TestFaultsStandInTheOrderOfTheFile(t *testing.T) {
	text := "registries:\n  default: {upstreams: [a]}\nupstreams:\n  a: {url: \"https://a.example\"}\n  b: {}\nlog: {level: x}\n#listen\nlisten: x\n"
	_, err := config.Parse("berth.yaml", []byte(text), nil)
	var at []string
	for _, line := range lines(err.Error()) {
		at = append(at, strings.Join(strings.SplitN(line, ":", 4)[1:3], ""))
	}
	if diff := cmp.Diff([]string{"5 upstreams.b.url", "6 log.level", "8 listen"}, at); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestDeepNestingIsRefused(t *testing.T) {
	for _, unit := range []string{"[", "{a: ", "- "} {
		if _, err := config.Parse("berth.yaml", bytes.Repeat([]byte(unit), 1<<18), nil); err == nil {
			t.Errorf("%q nested without end passed", unit)
		}
	}
}
