// Package image makes what the benchmark pulls: images and pools of blobs whose every byte
// follows from a name. Upstream, floor and load client each make the same content from the
// same specification, so none of it is stored or sent around, and every byte that a client
// reads can be compared at the speed of memory.
//
// It knows neither HTTP nor files.
package image
