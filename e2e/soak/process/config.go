package process

import (
	"encoding/json"
	"fmt"
	"os"
)

// Config is what a soak says of Berth's file. Addresses and folders are added.
type Config struct {
	Upstreams  map[string]Upstream `json:"upstreams"`
	Registries map[string]Registry `json:"registries"`
	Log        map[string]string   `json:"log,omitempty"`
	Cache      map[string]string   `json:"cache,omitempty"`
	// Drain is a duration; empty is the default.
	Drain string `json:"drain,omitempty"`
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
	CAFile           string   `json:"ca_file,omitempty"`
}

// Registry is one name space for clients.
type Registry struct {
	Upstreams []string `json:"upstreams"`
	Path      string   `json:"path,omitempty"`
}

// file is the whole configuration. It is written as JSON, which is YAML as well.
type file struct {
	Config
	Listen string `json:"listen"`
	Ops    string `json:"ops"`
	Data   string `json:"data"`
}

// write replaces the file name at once, so that whoever reads it sees one or the other.
func (f file) write(name string) error {
	content, err := json.MarshalIndent(f, "", "  ")
	if err == nil {
		err = os.WriteFile(name+".new", content, 0o600)
	}
	if err == nil {
		err = os.Rename(name+".new", name)
	}
	if err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	return nil
}
