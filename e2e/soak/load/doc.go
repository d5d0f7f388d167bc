// Package load is the clients of a soak: those that pull as they should, those that leave
// or dawdle, and those that ask for what cannot be. What they get is compared with what
// package truth says, to the last byte.
package load
