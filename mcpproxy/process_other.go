//go:build !linux

package mcpproxy

import "syscall"

// childAttr puts a child into a process group of its own. There is no signal at
// the death of a parent here: the watchdog alone sees to that.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
