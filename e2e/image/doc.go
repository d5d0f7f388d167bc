// Package image makes the images that the tests push and expect back: multi-platform, with
// layers that are real file systems, the same bytes for the same seed. It speaks to no
// registry.
package image
