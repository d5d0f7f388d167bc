// Package state keeps the small durable facts of a Berth: which tag points where,
// which repository contains which digest, which upstream a repository came from.
//
// One interface, [Store], and two engines that pass one suite (statetest): [Bolt]
// for one process, [Redis] for several replicas that share what they know. Content
// and its sizes do not live here; they belong to the store that has the bytes.
//
// The package may import nothing else of Berth. It is the only one that knows Redis.
package state
