package statetest

import "syscall"

// endWithTest has the kernel kill a process when the test binary dies without its
// cleanups, as it does on a test timeout.
func endWithTest() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
