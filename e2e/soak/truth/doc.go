// Package truth is what upstreams hold in a soak, and so what Berth has to answer: images
// whose bytes are computed from a seed, at any offset, without being held in memory.
package truth
