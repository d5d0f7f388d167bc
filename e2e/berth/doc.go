// Package berth builds the program under test and runs it. It knows the program from the
// outside alone: its command line, its file, its two addresses.
package berth
