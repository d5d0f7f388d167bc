// Package port hands out loopback addresses that stay the caller's for the length of a
// test, also while nothing listens on them.
package port
