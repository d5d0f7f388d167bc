package berth

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/berth-cache/berth/e2e/registry"
)

// Config is what a test says of Berth's file. Addresses, folders and logging are added.
type Config struct {
	// Upstreams and Registries are by name.
	Upstreams  map[string]Upstream `json:"upstreams"`
	Registries map[string]Registry `json:"registries"`
}

// Upstream is one remote registry. Durations are as in the file; empty is the default.
type Upstream struct {
	URL              string   `json:"url"`
	Hosts            []string `json:"hosts,omitempty"`
	Username         string   `json:"username,omitempty"`
	Password         string   `json:"password,omitempty"`
	Validity         string   `json:"validity,omitempty"`
	NegativeValidity string   `json:"negative_validity,omitempty"`
	ListValidity     string   `json:"list_validity,omitempty"`
	Realms           []string `json:"realms,omitempty"`
	CAFile           string   `json:"ca_file,omitempty"`
}

// Registry is one name space for clients.
type Registry struct {
	Upstreams []string `json:"upstreams"`
	Path      string   `json:"path,omitempty"`
	Hosts     []string `json:"hosts,omitempty"`
}

// Of is the upstream for a registry of the test, known to clients by host as well.
func Of(r *registry.Registry, host string) Upstream {
	return Upstream{
		URL: r.URL(), Hosts: []string{host},
		Username: r.Credential().Username, Password: r.Credential().Password,
	}
}

// Fresh is the upstream with nothing remembered: every answer is checked.
func (u Upstream) Fresh() Upstream {
	u.Validity, u.NegativeValidity, u.ListValidity = "0s", "0s", "0s"
	return u
}

// file is the whole configuration. It is written as JSON, which is YAML as well.
type file struct {
	Config
	Listen string            `json:"listen"`
	Ops    string            `json:"ops"`
	Data   string            `json:"data"`
	Log    map[string]string `json:"log"`
	Cache  map[string]string `json:"cache"`
}

func (f file) write(name string) error {
	content, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return fmt.Errorf("encode configuration: %w", err)
	}
	if err := os.WriteFile(name, content, 0o600); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	return nil
}
