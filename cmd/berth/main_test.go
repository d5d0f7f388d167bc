package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

// asBerth in the environment makes the test binary be the program.
const asBerth = "BERTH_TEST_IS_BERTH"

func TestMain(m *testing.M) {
	if os.Getenv(asBerth) != "" {
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

// command is the program with arguments, in an environment of its own.
func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	c := exec.CommandContext(t.Context(), os.Args[0], args...) //nolint:gosec // it is this very binary
	// The race detector would have every process sleep for a second at its end.
	c.Env = []string{asBerth + "=1", "GORACE=atexit_sleep_ms=0", "HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH")}
	c.Dir = t.TempDir()
	return c
}

// ended is how a program that is not meant to run on came out.
type ended struct {
	Status      int
	Out, Errors string
}

func runs(t *testing.T, args ...string) ended {
	t.Helper()
	var out, errs bytes.Buffer
	c := command(t, args...)
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Run(); err != nil && c.ProcessState == nil {
		t.Fatal(err)
	}
	return ended{c.ProcessState.ExitCode(), out.String(), errs.String()}
}

// written is the path of a new file that holds text.
func written(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "berth.yaml")
	must(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestCommands(t *testing.T) {
	v := "berth " + version() + "\n"
	for name, test := range map[string]struct {
		args []string
		want ended
	}{
		"nothing":             {nil, ended{2, "", usage}},
		"help":                {[]string{"help"}, ended{0, usage, ""}},
		"--help":              {[]string{"--help"}, ended{0, usage, ""}},
		"help of a command":   {[]string{"serve", "-h"}, ended{0, "", usage}},
		"version":             {[]string{"version"}, ended{0, v, ""}},
		"--version":           {[]string{"--version"}, ended{0, v, ""}},
		"unknown command":     {[]string{"server"}, ended{2, "", "berth: there is no command \"server\"; see berth --help\n"}},
		"flag for a command":  {[]string{"--confg", "a.yaml"}, ended{2, "", "berth: \"--confg\" stands where serve, check or version belongs; see berth --help\n"}},
		"unknown flag":        {[]string{"serve", "--port", "1"}, ended{2, "", "berth: flag provided but not defined: -port; see berth --help\n"}},
		"flag without value":  {[]string{"check", "--config"}, ended{2, "", "berth: flag needs an argument: -config; see berth --help\n"}},
		"argument":            {[]string{"serve", "a.yaml"}, ended{2, "", "berth: berth serve takes no argument \"a.yaml\", a configuration is named with --config; see berth --help\n"}},
		"missing file":        {[]string{"check", "--config", "/none/berth.yaml"}, ended{2, "", "berth: configuration: open /none/berth.yaml: no such file or directory; see berth --help\n"}},
		"missing file, serve": {[]string{"serve", "--config", "/none/berth.yaml"}, ended{2, "", "berth: configuration: open /none/berth.yaml: no such file or directory; see berth --help\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, runs(t, test.args...)); diff != "" {
				t.Errorf("came out (-want +got):\n%s", diff)
			}
		})
	}
}

func TestConfigurationNamedByTheEnvironment(t *testing.T) {
	path := written(t, "listen: 127.0.0.1:7\n")
	c := command(t, "check", "--offline")
	c.Env = append(c.Env, "BERTH_CONFIG="+path)
	if out, err := c.Output(); err != nil || !strings.Contains(string(out), "\nlisten 127.0.0.1:7 ") {
		t.Errorf("%v\n%s", err, out)
	}
	// A flag is nearer than the environment.
	c = command(t, "check", "--offline", "--config", written(t, "listen: 127.0.0.1:8\n"))
	c.Env = append(c.Env, "BERTH_CONFIG="+path)
	if out, err := c.Output(); err != nil || !strings.Contains(string(out), "\nlisten 127.0.0.1:8 ") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestFaultsAreAllPrintedWithTheirLines(t *testing.T) {
	path := written(t, `listen: nowhere
log: {level: loud}
upstreams:
  hub: {url: "http://127.0.0.1:1", validty: 1h}
registries:
  default: {upstreams: [hub, hup]}
`)
	for _, name := range []string{"serve", "check"} {
		got := runs(t, name, "--config", path)
		if got.Status != 2 || got.Out != "" {
			t.Errorf("%s: status %d, output %q", name, got.Status, got.Out)
		}
		lines := strings.Split(strings.TrimSuffix(got.Errors, "\n"), "\n")
		want := []string{":1: listen: ", ":2: log.level: ", ":4: upstreams.hub.validty: ", ":6: registries.default.upstreams[1]: "}
		if len(lines) != len(want) {
			t.Fatalf("%s printed\n%s\nwant %d lines", name, got.Errors, len(want))
		}
		for i, w := range want {
			if !strings.HasPrefix(lines[i], path+w) {
				t.Errorf("%s printed %q, want %q first", name, lines[i], path+w)
			}
		}
	}
}

const checked = `The configuration is valid.

listen 0.0.0.0:80   ops none   data /srv/berth   state redis

UPSTREAM  URL                    LOGIN      TAGS VALID      CONNECTIONS  LIMITS            OWNS         KNOWN AS
hub       https://hub.example    robot      1h              4            100/m, 3 at once  none         docker.example hub.example
near      http://10.0.0.1:5000   anonymous  forever         4            none              none         10.0.0.1:5000
fresh     https://fresh.example  anonymous  ask every time  4            2 at once         acme team/x  fresh.example
short     https://short.example  anonymous  30s             4            1/s               none         short.example
half      https://half.example   anonymous  10m             4            none              none         half.example

REGISTRY  PULL AS                           UPSTREAMS IN ORDER    TAGS FROM   HOSTS
default   0.0.0.0:80/<repository>           hub fresh short half  the origin  none
inner     0.0.0.0:80/team/one/<repository>  near                  any         inner.example

The data folder does not exist yet: it is made at the start.
`

func TestCheckPrintsWhatAConfigurationMeans(t *testing.T) {
	path := written(t, `listen: 0.0.0.0:80
ops: ""
data: /srv/berth
state: {redis: "redis://:secret@127.0.0.1:1/0"}
upstreams:
  hub: {url: "https://hub.example", hosts: [docker.example], username: robot, password: secret, validity: 1h, rate: 100/m, concurrency: 3}
  near: {url: "http://10.0.0.1:5000", validity: forever}
  fresh: {url: "https://fresh.example", validity: 0s, owns: [acme, team/x], concurrency: 2}
  short: {url: "https://short.example", validity: 30s, rate: 1/s}
  half: {url: "https://half.example", validity: 10m}
registries:
  default: {upstreams: [hub, fresh, short, half], pin_origin: true}
  inner: {path: team/one, upstreams: [near], hosts: [inner.example]}
`)
	if diff := cmp.Diff(ended{0, checked, ""}, runs(t, "check", "--offline", "--config", path)); diff != "" {
		t.Errorf("check (-want +got):\n%s", diff)
	}
}
