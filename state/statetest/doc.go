// Package statetest says in tests what a state.Store must do. [Run] holds a store against
// every sentence of the contract; each engine passes it against the real thing, for which
// [StartRedis] starts a Redis server of the test's own.
//
// It is for tests only and may import nothing of Berth but state.
package statetest
