// Package upstreamtest is a registry in memory, for tests. It serves the pull half of the
// OCI distribution API, hands out tokens, breaks on request in the ways real registries
// break, and writes down every request that reaches it, in order:
//
//	HEAD manifest library/alpine:3
//	GET manifest library/alpine@sha256:0123456789ab
//	GET blob library/alpine@sha256:0123456789ab bytes=5-
//	GET storage sha256:0123456789ab            where RedirectBlobs sends clients
//	GET tags library/alpine?n=2                the query as it came, if any
//	GET referrers library/alpine@sha256:0123456789ab
//	GET token repository:library/alpine:pull   the scope, "-" if there was none
//	GET other /v2/
//
// A digest is shortened as by Short; a Range header follows after a blank. Requests that
// are answered 401 are written down like all others; what comes while Stop is in force is
// not, since no request reaches a registry that is down.
//
// The package imports nothing else of Berth.
package upstreamtest
