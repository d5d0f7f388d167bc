// Package toxic is the network between Berth and an upstream in bad weather, as toxiproxy
// makes it, over TCP on loopback.
package toxic
