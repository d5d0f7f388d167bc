// Package storetest is the suite that every implementation of [store.Store] passes: one
// test for each sentence of the contract. It is run against the real thing.
//
// It imports testing and belongs into test binaries only.
package storetest
