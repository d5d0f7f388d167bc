package config_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/berth-cache/berth/config"
)

func TestDefaultIsTheFileOfTheManual(t *testing.T) {
	_, examples := manual(t)
	want := parse(t, examples[1])
	want.Data = "./berth-data"
	if diff := cmp.Diff(want, config.Default()); diff != "" {
		t.Errorf("-manual +Default:\n%s", diff)
	}
}

func TestDefaultIsTheCallersOwn(t *testing.T) {
	c := config.Default()
	c.Upstreams[0].URL.Host, c.Upstreams[0].Hosts[0], c.Registries[0].Upstreams[0] = "changed", "changed", "changed"
	if diff := cmp.Diff(config.Default(), c); diff == "" {
		t.Error("a change of one default changes the next")
	}
}
