package mcpproxy

import (
	"errors"
	"os/exec"
	"runtime"
)

// Watchdog ends the server processes of an mcpguard that died without ending
// them itself. It runs outside of mcpguard, or it would die with it.
type Watchdog interface {
	// Watch has every process of a group killed when mcpguard is gone, from when it
	// returns until the returned function is called. After an error nobody watches.
	Watch(group int) (unwatch func(), err error)
}

// launcher starts server processes, all of them on one thread of the operating
// system that lives as long as the launcher.
//
// On Linux a child asks to be killed when its parent is gone (childAttr). The
// kernel takes the *thread* that forked for the parent (prctl(2),
// PR_SET_PDEATHSIG), and a thread of Go's may end when a goroutine that is locked
// to it does: then a server would be killed in the middle of a call.
type launcher struct {
	jobs chan launch
	done chan struct{}
}

type launch struct {
	cmd     *exec.Cmd
	started chan error
}

var errLauncherClosed = errors.New("mcpguard starts no more processes")

func newLauncher() *launcher {
	l := &launcher{jobs: make(chan launch), done: make(chan struct{})}
	go l.run()
	return l
}

func (l *launcher) run() {
	// Unlocked again, so that the thread does not end with the goroutine: who is
	// left of the children must not be killed while somebody waits for them.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for {
		select {
		case j := <-l.jobs:
			j.started <- j.cmd.Start()
		case <-l.done:
			return
		}
	}
}

func (l *launcher) start(cmd *exec.Cmd) error {
	j := launch{cmd, make(chan error, 1)}
	select {
	case l.jobs <- j:
		return <-j.started
	case <-l.done:
		return errLauncherClosed
	}
}

// close ends the thread's work. Every process must have ended.
func (l *launcher) close() { close(l.done) }
