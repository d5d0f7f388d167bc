// Package soak treats the binary badly, and looks whether it comes through: a long mixture
// of requests while upstreams fail, processes killed at random moments, thousands of bad
// connections, two processes on one folder.
//
// It is here, below the end-to-end tests, because it too runs the program as its users do,
// as a process with a file and two addresses; no client is needed, the requests are its
// own. Each test has a short form, for every change, and a full one with BERTH_SOAK=1.
// BERTH_SOAK_SEED chooses what happens, BERTH_SOAK_RACE=1 builds Berth with the race
// detector. Figures are printed with -v.
//
//	truth     what upstreams hold, computed from the seed
//	origin    upstreams that fail, by lot
//	toxic     links to upstreams, in bad weather
//	load      clients, and what they may get
//	crowd     clients of no good will
//	process   Berth, started, killed and looked at from outside
package soak
