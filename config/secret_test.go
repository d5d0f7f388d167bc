package config_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/berth-cache/berth/config"
)

const hunter2 = "hunter2"

func TestSecretNeverShows(t *testing.T) {
	type client struct {
		Password config.Secret
		private  config.Secret
	}
	s := config.NewSecret(hunter2)
	c := client{s, s}
	var log bytes.Buffer
	attrs := []any{"s", s, "p", &s, "c", c, "m", map[string]config.Secret{"k": s}}
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", attrs...)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", attrs...)
	printed := map[string]string{"slog": log.String(), "String": s.String(), "LogValue": s.LogValue().String()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%08.3f", "%U", "%t", "%c", "%-20s"} {
		for _, x := range []any{s, &s, c, &c, []config.Secret{s}, map[string]client{"k": c}, fmt.Errorf("x: %v", s)} {
			printed[verb] += fmt.Sprintf(verb, x)
		}
	}
	for name, marshal := range map[string]func(any) ([]byte, error){"json": json.Marshal, "yaml": yaml.Marshal, "xml": xml.Marshal} {
		for _, x := range []any{s, &s, client{Password: s}} {
			data, err := marshal(x)
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			printed[name] += string(data)
		}
	}
	for name, got := range printed {
		hex := fmt.Sprintf("%x", hunter2)
		if strings.Contains(got, hunter2) || strings.Contains(strings.ToLower(got), hex) || !strings.Contains(got, "***") {
			t.Errorf("%s prints %s", name, got)
		}
	}
}

// YAML takes some passwords without quotes for something else, whose name its parser repeats.
func TestPasswordThatIsYAMLIsNotRepeated(t *testing.T) {
	for _, value := range []string{"*hunter2", "&hunter2", "!hunter2", "!!hunter2", "!hunter2 x", "!<hunter2> x", "!a!hunter2 x", "*hunter2: x", "%hunter2", "@hunter2", "!hunter2 {}", "!hunter2 []"} {
		_, err := config.Parse("berth.yaml", []byte("upstreams:\n  a:\n    url: https://a.test\n    username: me\n    password: "+value+"\n"), nil)
		if err == nil || strings.Contains(err.Error(), hunter2) || !strings.HasPrefix(err.Error(), "berth.yaml:5: ") {
			t.Errorf("password: %s: %v", value, err)
		}
	}
}

func TestSecretReveals(t *testing.T) {
	var zero config.Secret
	s := config.NewSecret(hunter2)
	if s.Reveal() != hunter2 || zero.Reveal() != "" {
		t.Errorf("reveals %q and %q", s.Reveal(), zero.Reveal())
	}
	if !s.Equal(config.NewSecret(hunter2)) || s.Equal(zero) || !zero.Equal(config.NewSecret("")) {
		t.Error("Equal does not compare the texts")
	}
	if reflect.TypeFor[config.Secret]().Comparable() {
		t.Error("== compiles, and would compare addresses")
	}
}

func TestFaultsHoldNoSecret(t *testing.T) {
	for _, text := range []string{
		"upstreams: {a: {url: \"https://u:hunter2@a.example\"}}",
		"upstreams: {a: {url: \"https://u:hunter2@a.example:x/%2\"}}",
		"upstreams: {a: {url: \"u:hunter2@a.example\"}}",
		"upstreams: {a: {url: \"https://a.example\", hosts: [\"u:hunter2@b\"], realms: [\"u:hunter2@b\"]}}",
		"upstreams: {a: {url: \"https://a.example\", password:hunter2}}",
		"upstreams: {a: {url: \"https://a.example\", username: u, password: [hunter2]}}",
		"upstreams: {a: {url: \"https://a.example\", username: u, password: {hunter2: x}}}",
		"upstreams: {a: {url: \"https://a.example\", username: u, password: \"${hunter2!}\"}}",
		"upstreams: {a: {url: \"https://a.example\", username: u, password: \"${hunter2\"}}",
		"upstreams: {a: {url: \"https://a.example\", password: hunter2}}",
		"upstreams: {a: {url: \"https://a.example\", username: \"u:hunter2\", password: hunter2}}",
		"upstreams:\n  a:\n    password: @hunter2\n",
		"upstreams:\n  a:\n    password: 'hunter2\n",
		"upstreams:\n  a:\n    password: hunter2: x\n",
		"upstreams:\n  a:\n    password: \"hunter2\\q\"\n",
		"upstreams:\n  a:\n    password: hunter2\n   url: x\n",
		"state: {redis: \":hunter2@cache:6379\"}",
		"state: {redis: \"redis://u:hunter2%@cache:hunter2\"}",
		"state: {redis: [\"redis://u:hunter2@cache\"]}",
		"state: \"redis://u:hunter2@cache\"",
		"redis://u:hunter2@cache: x",
	} {
		_, err := config.Parse("berth.yaml", []byte(text), nil)
		if _, found := errors.AsType[config.Faults](err); !found || strings.Contains(err.Error(), hunter2) {
			t.Errorf("%s\n%v", text, err)
		}
	}
}
