// Package process runs Berth for a soak, and looks at the process and its data folder from
// outside: what it counts, what it has open, what memory it takes, what lies on its disk.
package process
