// Package contender starts what the benchmark compares, each as processes of its own in a
// folder of its own: floor, nginx, distribution, berth, and direct, which is no server but
// the upstream itself. It knows berth from the outside alone: its command line, its file
// and its addresses.
package contender
