// Package proxy is the data plane: the pull half of the OCI distribution API over HTTP.
//
// A request is parsed once into a typed value (parse.go), routed by the catalog, answered
// by package pull, and written; every failure is an error until exactly one place turns it
// into HTTP (errors.go). The package asks no upstream and touches no storage itself.
package proxy
