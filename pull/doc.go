// Package pull decides: which upstream answers a name, what its answer means, how fresh
// it is, and what to do when an upstream is ill. It brings together what the catalog says
// exists, what the cache holds and what the upstreams answer.
//
// It speaks no HTTP: package proxy does that towards clients, package upstream towards
// registries. It imports catalog, cache and upstream, and never proxy or config.
package pull
