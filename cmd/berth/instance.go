package main

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/berth-cache/berth/proxy"
)

// instanceFile in the data folder has the name in CDN-Loop of the Berth that used the folder
// last. berth check asks by that name: an upstream that is that Berth then says so.
const instanceFile = "instance"

func noteInstance(dir, name string) error {
	return os.WriteFile(filepath.Join(dir, instanceFile), []byte(name+"\n"), 0o600)
}

// knownInstance is the name that was noted, or a new one where there is none.
func knownInstance(dir string) string {
	text, err := os.ReadFile(filepath.Join(dir, instanceFile))
	if name := strings.TrimSpace(string(text)); err == nil && proxy.IsInstance(name) {
		return name
	}
	return proxy.NewInstance()
}
