package mcpproxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// process is a supervised stdio server: a child in a process group of its own,
// with an environment of its own. Its stderr goes to the log, scrubbed.
type process struct {
	cmd    *exec.Cmd
	stdin  *os.File
	stdout *os.File
	exited chan struct{} // closed when the child is gone and reaped
}

// grace is how long a server has to leave after its stdin closed, and again
// after SIGTERM.
const grace = 2 * time.Second

// startProcess starts the upstream's command. The child gets PATH, HOME and LANG
// and what the configuration lists, nothing else of mcpguard's environment.
func startProcess(up *upstream) (*process, error) {
	inR, inW, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start upstream %s: %w", up.Name, err)
	}
	outR, outW, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start upstream %s: %w", up.Name, err), inR.Close(), inW.Close())
	}
	errR, errW, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start upstream %s: %w", up.Name, err), inR.Close(), inW.Close(), outR.Close(), outW.Close())
	}
	p := &process{stdin: inW, stdout: outR, exited: make(chan struct{})}
	p.cmd = exec.Command(up.Command[0], up.Command[1:]...)
	p.cmd.Dir = up.Dir
	p.cmd.Env = childEnv(up.Env)
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = inR, outW, errW
	p.cmd.SysProcAttr = childAttr()
	err = up.launcher.start(p.cmd)
	closed := errors.Join(inR.Close(), outW.Close(), errW.Close()) // the child's ends
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start upstream %s: %w", up.Name, err), closed, inW.Close(), outR.Close(), errR.Close())
	}
	group := p.cmd.Process.Pid
	unwatched := func() {}
	if up.watch != nil {
		if unwatched, err = up.watch.Watch(group); err != nil {
			unwatched = func() {}
			err = fmt.Errorf("start upstream %s: it would outlive mcpguard: %w", up.Name, err)
			_ = syscall.Kill(-group, syscall.SIGKILL)
		}
	}
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		drainStderr(up, errR)
		_ = errR.Close() // it was only read
	}()
	go func() {
		_ = p.cmd.Wait() // says what the state says, or that an exit is no success
		up.log.Info("an upstream process ended", "upstream", up.Name, "end", p.cmd.ProcessState.String())
		// Something that left the group may hold the pipes for as long as it likes.
		soon := time.Now().Add(grace)
		_ = errors.Join(errR.SetReadDeadline(soon), outR.SetReadDeadline(soon)) // fails when they are closed already
		// A grandchild may still hold the pipe; it belongs to the group.
		_ = syscall.Kill(-group, syscall.SIGKILL)
		unwatched()
		<-drained
		close(p.exited)
	}()
	if err != nil {
		p.stop()
		return nil, errors.Join(err, outR.Close())
	}
	return p, nil
}

// childEnv is the environment of a stdio server.
func childEnv(listed []string) []string {
	env := make([]string, 0, len(listed)+3)
	for _, name := range [...]string{"PATH", "HOME", "LANG"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return append(env, listed...)
}

// maxStderrLine bounds one line of a server's stderr; the rest of it is dropped.
const maxStderrLine = 8 << 10

func drainStderr(up *upstream, r io.Reader) {
	lines := bufio.NewReaderSize(r, maxStderrLine)
	for {
		line, more, err := lines.ReadLine()
		if len(line) > 0 {
			up.log.Info("upstream stderr", "upstream", up.Name, "line", up.scrub.Line(string(line)).String())
		}
		for more && err == nil {
			_, more, err = lines.ReadLine()
		}
		if err != nil {
			return
		}
	}
}

// write sends one line, and gives up at the deadline of ctx: a server that does
// not read its stdin must not hold a caller.
func (p *process) write(ctx context.Context, line []byte) error {
	deadline, _ := ctx.Deadline() // the zero time is no deadline
	if err := p.stdin.SetWriteDeadline(deadline); err != nil {
		return err
	}
	_, err := p.stdin.Write(line)
	return err
}

// stop ends the child: stdin closed, then SIGTERM to its group, then SIGKILL. It
// returns when the child is gone.
func (p *process) stop() {
	_ = p.stdin.Close() // fails only when it is closed already
	if p.gone(grace) {
		return
	}
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGTERM)
	if p.gone(grace) {
		return
	}
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.exited
}

func (p *process) gone(within time.Duration) bool {
	t := time.NewTimer(within)
	defer t.Stop()
	select {
	case <-p.exited:
		return true
	case <-t.C:
		return false
	}
}
