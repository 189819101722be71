package mcpproxy

import "syscall"

// childAttr puts a child into a process group of its own, and has the kernel
// kill it when the thread that started it is gone, however that happened. What
// the child itself started is the watchdog's.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
