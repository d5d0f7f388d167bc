// Package child runs programs for a test: to their end, or for as long as the test takes.
// They see an environment made for them, cannot leave the machine, leave nothing behind,
// and are ended by their own process id.
package child
