// Package crowd is clients of no good will: connections that do nothing, that never come
// to the end of a header, that send too much of it, that ask for much and take little.
package crowd
