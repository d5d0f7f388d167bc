// Package floor is the least that a server in Go can do: a bare net/http server that looks
// a path up in a map and sends ready bytes, or a file where the content is large. It keeps
// no log, no metrics, and knows no upstream. What a cache costs more than this is what it
// costs to be a cache.
package floor
