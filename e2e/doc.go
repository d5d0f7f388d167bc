// Package e2e tests Berth with real clients against real registries. It is a module of its
// own that imports nothing of Berth: it builds the program and runs it. What it runs it
// keeps in temporary folders and on loopback addresses. See README.md.
package e2e
