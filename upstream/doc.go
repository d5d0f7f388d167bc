// Package upstream is one remote registry as a client: its tokens, its redirects, its
// addresses, and what its answers mean.
//
// A Client answers a Request with a Response whose status is 200 or 206, or with an *Error
// that has a Class. It looks at no request of ours, keeps no content, and verifies none:
// Response.Digest is what the registry claims. It does not walk to another upstream.
//
// What it never does: send the credential, or a token got with it, anywhere but to the
// upstream and to token services bound to it (see realm.go); follow a redirect with
// either; dial an address that a redirect, a realm or a name server chose unless it is
// public or the upstream is private by configuration, and a link-local one even then
// (see address.go).
//
// Logins are fixed, or looked up: by helper programs, and by the libraries of clouds, which
// connect to where the environment says and know nothing of these rules (see keychain.go).
//
// It does not ping /v2/ first. The first request goes out bare; the challenge that comes back
// is kept, and from then on every request carries its token at once. Where a bare request is
// answered 404, or turned away without a challenge, and there is a login to show, /v2/ is
// asked how.
//
// Requests are repeated by themselves at most twice, with 100 ms and 200 ms in between,
// give or take half: when the connection breaks before an answer, and on 408, 500, 502, 503
// and 504; not after a timeout. A 503 with a Retry-After of at most two seconds waits that
// long; one with a longer one, like 401, 403, 404 and 429, is never repeated for its own
// sake. A 401 or 403 is asked once more with a fresh token before it is believed.
//
// The package imports nothing else of Berth.
package upstream
