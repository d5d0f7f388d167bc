// Package store keeps the bytes of content, addressed by digest.
//
// [Store] is the interface; [Disk] is the implementation on a local file system. The
// interface is drawn so that an object store fits as well: nothing is visible before
// Commit, nothing is renamed by the caller, and content is immutable.
//
// The store trusts nothing it is told about content and verifies nothing either: the
// caller (package cache) hashes what it writes and commits only what matches.
package store
