//go:build !linux

package statetest

import "syscall"

// endWithTest has no counterpart here: a test that times out leaves its server behind.
func endWithTest() *syscall.SysProcAttr { return nil }
