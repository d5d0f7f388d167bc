// Package upstream is the registry that the benchmark's contenders pull from: made of
// content that follows from names (package image), as far away and as slow as a row wants,
// and counting what it is asked. It has two addresses: one for registry clients, with
// latency and bandwidth, and one for whoever runs the benchmark.
//
// It is a process of its own (cmd/upstream); Control speaks to it.
package upstream
