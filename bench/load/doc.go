// Package load is the client of the benchmark: many connections, each a plain HTTP/1.1
// client of as little cost as can be, so that what is measured is the server. It runs as a
// process of its own (cmd/load) that reads a Plan and writes a Result.
//
// Every byte of every body is compared with the content that the digest stands for; that
// content is itself hashed against the digest once before the first request. Every run is
// bounded in time, and those that repeat a request in number as well.
package load
