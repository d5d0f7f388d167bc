// Package process runs the benchmark's programs, each on the processors that it is given,
// and reads from /proc what they cost. Every program that it starts it also ends, by its
// own number and those of what that one started.
package process
