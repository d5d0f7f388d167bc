// Package catalog says what exists: the registries that users pull from, the upstreams
// behind each in their order, and how a name leads to them.
//
// A [Snapshot] is immutable; [Catalog] swaps one for another atomically, so that routing
// takes no lock. The catalog names upstreams but never asks one.
package catalog
