// Package server is the door of the process: an HTTP server that hostile and careless
// clients cannot wear down, whose certificate can be replaced while it runs, and that stops
// without breaking pulls, each of which is many requests.
//
// It bounds what a connection may do and how many of them there are, and knows nothing of
// what is served: it imports nothing of Berth.
package server
