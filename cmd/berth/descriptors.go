package main

import (
	"log/slog"

	"golang.org/x/sys/unix"

	"github.com/berth-cache/berth/config"
)

const (
	// mostConnections is the default where the system allows any number: idle ones take
	// some 20 KiB each.
	mostConnections = 16384
	// fallbackDescriptors is what is assumed where the limit cannot be read.
	fallbackDescriptors = 1024
)

// maxConnections is how many clients may be connected, and how many requests may run: a
// connection and the file that a request sends are a descriptor each. Blobs that are being
// fetched, two each, and our own files have what the others leave.
func maxConnections(cfg *config.Config, logger *slog.Logger) int {
	allowed := descriptors()
	if cfg.MaxConnections == 0 {
		return max(10, min(allowed/2, mostConnections))
	}
	if cfg.MaxConnections > allowed/2 {
		logger.Warn("max_connections is more than half of the file descriptors that the process may open; raise that limit (ulimit -n, LimitNOFILE)",
			"max_connections", cfg.MaxConnections, "descriptors", allowed)
	}
	return cfg.MaxConnections
}

// descriptors is how many files the process may open. Go raises the soft limit to the hard
// one when a program that imports os starts.
func descriptors() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fallbackDescriptors
	}
	return int(min(limit.Cur, 1<<30)) //nolint:gosec // bounded
}
