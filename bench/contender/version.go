package contender

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"fmt"

	"github.com/berth-cache/berth/bench/process"
)

const distributionModule = "github.com/distribution/distribution/v3"

// Versions are those of berth and its peers, and who is missing.
func (p Programs) Versions(ctx context.Context) ([]string, error) {
	berth, err := process.Command{Path: p.Berth, Args: []string{"version"}}.Run(ctx)
	if err != nil {
		return nil, err
	}
	all := []string{string(bytes.TrimSpace(berth))}
	info, err := buildinfo.ReadFile(p.Distribution)
	if err != nil {
		return nil, fmt.Errorf("version of distribution: %w", err)
	}
	for _, m := range info.Deps {
		if m.Path == distributionModule {
			all = append(all, "distribution "+m.Version)
		}
	}
	if p.Nginx == "" {
		return append(all, "nginx is not installed"), nil
	}
	// It tells its version on standard error.
	nginx, err := process.Command{Path: "/bin/sh", Args: []string{"-c", `"$0" -v 2>&1`, p.Nginx}}.Run(ctx)
	if err != nil {
		return nil, err
	}
	_, version, _ := bytes.Cut(bytes.TrimSpace(nginx), []byte("nginx/"))
	return append(all, "nginx "+string(version)), nil
}
