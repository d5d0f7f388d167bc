// Package origin is a registry that treats its clients badly: one upstream of a soak, over
// TCP on loopback, with the content that package truth says, and faults that are drawn by
// lot and counted.
package origin
