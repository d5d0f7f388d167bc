// Package registry runs real registries inside the test: distribution with no access
// control, with htpasswd or with tokens, and any other registry that is an http.Handler.
// Each keeps one loopback address for life, can be stopped and started there, and records
// what it was asked. It knows nothing of Berth.
package registry
