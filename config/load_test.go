package config_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/berth-cache/berth/config"
)

func TestFaultsOfTheTopLevel(t *testing.T) {
	const address = `is no address to listen on; write host:port, such as 127.0.0.1:5000, [::1]:5000 or :5000`
	testFaults(t, []faultTest{
		{"listen without host", "listen: 5000\n", `berth.yaml:1: listen: "5000" ` + address},
		{"listen without port", "listen: localhost\n", `berth.yaml:1: listen: "localhost" ` + address},
		{"listen with a URL", "listen: http://localhost:5000\n", `berth.yaml:1: listen: "http://localhost:5000" ` + address},
		{"port too high", "listen: :65536\n", `berth.yaml:1: listen: ":65536" ` + address},
		{"port by name", "ops: localhost:http\n", `berth.yaml:1: ops: "localhost:http" ` + address},
		{"IPv6 without brackets", "listen: ::1:5000\n", `berth.yaml:1: listen: "::1:5000" ` + address},
		{"host that is none", "listen: a b:5000\n", `berth.yaml:1: listen: "a b:5000" ` + address},
		{"listen empty", "listen: \"\"\n", "berth.yaml:1: listen: is empty; write host:port, or remove the key to have 127.0.0.1:5000"},
		{"ops on listen", "listen: :1\nops: :1\n", `berth.yaml:2: ops: :1 takes the port of listen (:1); write another port, or "" to have none`},
		{"ops on the default of listen", "ops: 0.0.0.0:5000\n", `berth.yaml:1: ops: 0.0.0.0:5000 takes the port of listen (127.0.0.1:5000); write another port, or "" to have none`},
		{"listen on the default of ops", "listen: \"[::]:5001\"\n", "berth.yaml:1: listen: [::]:5001 takes the port of ops (127.0.0.1:5001 unless written); write another port, or ops with another"},
		{"data empty", "data: ${EMPTY}\n", "berth.yaml:1: data: is empty; write the path of a folder, or remove the key to have /var/lib/berth"},
		{"data in a home folder", "data: ~/berth\n", `berth.yaml:1: data: "~/berth" starts with ~, which only a shell understands; write ${HOME}/berth`},
		{"data in a home folder, by variable", "data: $HOME/berth\n", `berth.yaml:1: data: "$HOME/berth" has a variable without braces; write ${HOME}/berth`},
		{"redis on a socket", "state: {redis: \"unix:///run/redis.sock\"}\n", "berth.yaml:1: state.redis: is a socket, which berth does not connect to; write redis://:password@host:6379/0"},
		{"redis with a port alone", "state: {redis: \"redis://:6379\"}\n", redisFault},
		{"redis of another scheme", "state: {redis: \"http://x\"}\n", redisFault},
		{"redis without host", "state: {redis: \"redis://\"}\n", redisFault},
		{"redis with a query", "state: {redis: \"redis://h?db=1\"}\n", redisFault},
		{"redis with an empty query", "state: {redis: \"redis://h?\"}\n", redisFault},
		{"redis with a fragment", "state: {redis: \"redis://h/0#\"}\n", redisFault},
		{"redis with a name for its database", "state: {redis: \"redis://h/one\"}\n", redisFault},
		{"redis with a user alone", "state: {redis: \"redis://u@h\"}\n", redisFault},
		{"redis that does not parse", "state: {redis: \"redis://:hunter%2@cache\"}\n", redisFault},
		{"unknown level", "log: {level: trace}\n", `berth.yaml:1: log.level: "trace" is not known; write one of debug, info, warn, error`},
		{"unknown format", "log: {format: xml}\n", `berth.yaml:1: log.format: "xml" is not known; write one of text, json`},
	})
}

const redisFault = "berth.yaml:1: state.redis: is no URL of a Redis server; write redis://:password@host:6379/0, or rediss:// for TLS, with %XX for any of / ? # @ % in the password"

func TestTopLevel(t *testing.T) {
	c := parse(t, "listen: \"[::1]:443\"\nops: \"\"\ndata: data\nstate: {redis: \"redis://:p@h/0\"}\nlog: {level: debug, format: json}\n")
	want := config.Default()
	want.Listen, want.Ops, want.PProf, want.Data = "[::1]:443", "", false, "data"
	want.State.Redis = config.NewSecret("redis://:p@h/0")
	want.Log = config.Log{Level: slog.LevelDebug, Format: config.LogJSON}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestAddressesThatGoTogether(t *testing.T) {
	for _, text := range []string{
		"listen: 127.0.0.1:1\nops: 127.0.0.2:1\n",
		"listen: :0\nops: :0\n",
		"listen: berth.example.com:1\nops: localhost:1\n",
		"listen: :5001\nops: \"\"\n",
		"listen: \"[fe80::1%eth0]:5000\"\n",
	} {
		parse(t, text)
	}
}

// folder makes a folder with these files, all of mode 0644, and returns its path.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestLoadReadsTheFilesBesideIt(t *testing.T) {
	dir := folder(t, map[string]string{
		"berth.yaml": "data: data\nupstreams:\n  a: {url: \"https://a.example\", username: u, password_file: secret, ca_file: ca.pem}\n",
		"secret":     "pa$$ ${X}\r\n",
		"ca.pem":     "a comment\n" + certificate(t),
	})
	c, err := config.Load(filepath.Join(dir, "berth.yaml"), nil)
	if err != nil {
		t.Fatal(err)
	}
	u := c.Upstreams[0]
	got := []string{c.Data, u.Credentials[0].Password.Reveal(), u.CAFile}
	want := []string{filepath.Join(dir, "data"), "pa$$ ${X}", filepath.Join(dir, "ca.pem")}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestLoadReadsADockerConfig(t *testing.T) {
	dir := folder(t, map[string]string{
		"berth.yaml":  "upstreams: {a: {url: \"https://a.example\", docker_config: config.json}}\n",
		"config.json": "{}",
	})
	c, err := config.Load(filepath.Join(dir, "berth.yaml"), nil)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "config.json")
	want := []config.Credential{{DockerConfigFile: path, DockerConfig: config.NewSecret("{}")}}
	if diff := cmp.Diff(want, c.Upstreams[0].Credentials); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if len(c.Files) != 2 || c.Files[1].Path != path {
		t.Errorf("files %v", c.Files)
	}
}

func TestFaultsOfFiles(t *testing.T) {
	broken := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}))
	dir := folder(t, map[string]string{
		"empty": "\n", "two": "a\nb\n", "open": "a\n", "good": "a\n", "large": strings.Repeat("a", 64<<10+1),
		"key.pem": string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte("x")})), "broken.pem": certificate(t) + broken,
	})
	if err := os.Chmod(filepath.Join(dir, "open"), 0o666); err != nil {
		t.Fatal(err)
	}
	in := func(name string) string { return `"` + filepath.Join(dir, name) + `"` }
	tests := []struct{ key, file, want string }{
		{"password_file", "none", "the file " + in("none") + " does not exist; create it or mend the path, which starts at this file's folder unless it starts with /"},
		{"password_file", "empty", "the file " + in("empty") + " is empty; write the password into it"},
		{"docker_config", "none", "the file " + in("none") + " does not exist; create it or mend the path, which starts at this file's folder unless it starts with /"},
		{"docker_config", "open", "the file " + in("open") + " can be written by every user (mode 0666); run chmod o-w on it"},
		{"password_file", "two", "the file " + in("two") + " has more than one line; write the password alone into it"},
		{"password_file", "open", "the file " + in("open") + " can be written by every user (mode 0666); run chmod o-w on it"},
		{"password_file", "large", "the file " + in("large") + " is larger than 64 KiB; is it the right one?"},
		{"password_file", "good/x", "the file " + in("good/x") + " cannot be read (not a directory); name a file that can"},
		{"password_file", ".", in("") + " is no regular file; name one"},
		{"ca_file", "none", "the file " + in("none") + " does not exist; create it or mend the path, which starts at this file's folder unless it starts with /"},
		{"ca_file", "good", "the file " + in("good") + " holds no PEM certificate; write at least one into it, as -----BEGIN CERTIFICATE-----"},
		{"ca_file", "key.pem", "the file " + in("key.pem") + " holds no PEM certificate; write at least one into it, as -----BEGIN CERTIFICATE-----"},
		{"ca_file", "broken.pem", "the file " + in("broken.pem") + " holds a broken certificate (x509: malformed certificate); write whole PEM certificates into it"},
	}
	for _, test := range tests {
		t.Run(test.key+" "+test.file, func(t *testing.T) {
			path := filepath.Join(dir, "berth.yaml")
			text := "upstreams:\n  a:\n    url: https://a.example\n    username: u\n    password_file: good\n"
			if test.key == "docker_config" {
				text = "upstreams:\n  a:\n    url: https://a.example\n    validity: 1h\n    docker_config: good\n"
			}
			text = strings.Replace(text+"    ca_file: \"\"\n", test.key+": "+map[string]string{"password_file": "good", "docker_config": "good", "ca_file": `""`}[test.key], test.key+": "+test.file, 1)
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := config.Load(path, nil)
			faults, _ := errors.AsType[config.Faults](err)
			line := map[string]int{"password_file": 5, "docker_config": 5, "ca_file": 6}[test.key]
			want := config.Faults{{File: path, Line: line, Key: "upstreams.a." + test.key, Message: test.want}}
			if diff := cmp.Diff(want, faults); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestFileOfAnotherUser(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may read every file")
	}
	dir := folder(t, map[string]string{"berth.yaml": "upstreams: {a: {url: \"https://a.example\", username: u, password_file: secret}}", "secret": "x"})
	if err := os.Chmod(filepath.Join(dir, "secret"), 0); err != nil {
		t.Fatal(err)
	}
	_, err := config.Load(filepath.Join(dir, "berth.yaml"), nil)
	want := fmt.Sprintf(`%s/berth.yaml:1: upstreams.a.password_file: the file "%s/secret" may not be read by user %d, who runs berth; run chown or chmod on it and its folders`, dir, dir, os.Getuid())
	if err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

func TestParseOpensNoFile(t *testing.T) {
	c := parse(t, "upstreams: {a: {url: \"https://a.example\", username: u, password_file: none, ca_file: none.pem}}\n")
	if got := c.Upstreams[0].Credentials[0].Password.Reveal(); got != "" {
		t.Errorf("password %q", got)
	}
}

func TestLoadWithoutFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none.yaml")
	_, err := config.Load(path, nil)
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v", err)
	}
	if _, found := errors.AsType[config.Faults](err); found {
		t.Error("a file that is not there has faults")
	}
}

// What a message names must be found from any folder.
func TestLoadByARelativePath(t *testing.T) {
	dir := folder(t, map[string]string{"berth.yaml": "data: data\n", "bad.yaml": "upstreams: {a: {url: \"https://a.example\", ca_file: none}}\n"})
	t.Chdir(dir)
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	c, err := config.Load("berth.yaml", nil)
	if err != nil {
		t.Fatal(err)
	}
	got := []string{c.Data}
	for _, file := range []string{"bad.yaml", "none.yaml"} {
		if _, err := config.Load(file, nil); err != nil {
			got = append(got, err.Error())
		}
	}
	want := []string{
		filepath.Join(dir, "data"),
		`bad.yaml:1: upstreams.a.ca_file: the file "` + filepath.Join(dir, "none") + `" does not exist; create it or mend the path, which starts at this file's folder unless it starts with /`,
		"configuration: open " + filepath.Join(dir, "none.yaml") + ": no such file or directory",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestLoadOfAFolder(t *testing.T) {
	dir := t.TempDir()
	if _, err := config.Load(dir, nil); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("error %v", err)
	}
}

func TestLoadStopsAtOneMiB(t *testing.T) {
	path := filepath.Join(folder(t, map[string]string{"berth.yaml": strings.Repeat("#\n", 1<<20)}), "berth.yaml")
	_, err := config.Load(path, nil)
	if want := path + ": is larger than 1 MiB; is this the right file?"; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

// certificate returns a PEM certificate made for this test.
func certificate(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}
