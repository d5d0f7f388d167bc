// Package cache is what a Berth holds: content by digest, the fills that bring it in,
// links (which upstream's repository contains a digest) and pointers (what a tag points
// to at an upstream).
//
// It knows no HTTP and no upstream: bytes come from a [Source] that its caller provides.
// Every byte is hashed on its way in; nothing is visible before its digest matched, and
// no reader gets the last byte before that.
//
// It imports state and cache/store, nothing else of Berth.
package cache
