package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"sync"
	"syscall"

	"github.com/spf13/cobra"
)

// watchdog kills the process groups of stdio servers when mcpguard died without
// ending them: by SIGKILL, or for want of memory. It is a process of its own, this
// program again, that reads a pipe whose other end only mcpguard holds. A line is
// "+GROUP" or "-GROUP"; the end of the pipe is the death of mcpguard.
type watchdog struct {
	log *slog.Logger

	mu     sync.Mutex
	cmd    *exec.Cmd
	pipe   io.WriteCloser
	groups map[int]bool
}

// watchdogName is the hidden command that the process runs.
const watchdogName = "watchdog"

func newWatchdog(log *slog.Logger) *watchdog {
	return &watchdog{log: log, groups: map[int]bool{}}
}

// Watch has a process group killed when mcpguard is gone. A watchdog that died
// itself is replaced, and told of every group again.
func (w *watchdog) Watch(group int) (func(), error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.groups[group] = true
	if err := w.tell("+", group); err != nil {
		delete(w.groups, group)
		return nil, fmt.Errorf("start the watchdog: %w", err)
	}
	return func() { w.unwatch(group) }, nil
}

func (w *watchdog) unwatch(group int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.groups, group)
	if err := w.tell("-", group); err != nil {
		w.log.Error("tell the watchdog that a process has ended", "err", err)
	}
}

func (w *watchdog) tell(sign string, group int) error {
	if w.pipe != nil {
		if _, err := io.WriteString(w.pipe, sign+strconv.Itoa(group)+"\n"); err == nil {
			return nil
		}
		w.log.Warn("the watchdog of server processes died: another one is started")
		_ = w.end() // it is dead already
	}
	return w.start()
}

// start runs a watchdog and tells it of every group.
func (w *watchdog) start() error {
	self, err := executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self)
	cmd.Args = []string{"mcpguard", watchdogName}
	cmd.Env = []string{}
	cmd.Dir = "/" // whatever mcpguard was started in can be unmounted
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return errors.Join(err, pipe.Close())
	}
	w.cmd, w.pipe = cmd, pipe
	for group := range w.groups {
		if _, err := io.WriteString(pipe, "+"+strconv.Itoa(group)+"\n"); err != nil {
			return errors.Join(err, w.end())
		}
	}
	return nil
}

// executable is this program, also where its file was replaced since.
func executable() (string, error) {
	if runtime.GOOS == "linux" {
		return "/proc/self/exe", nil
	}
	return os.Executable()
}

func (w *watchdog) end() error {
	if w.pipe == nil {
		return nil
	}
	err := errors.Join(w.pipe.Close(), w.cmd.Wait())
	w.pipe, w.cmd = nil, nil
	return err
}

// close ends the watchdog, with whatever it still watches.
func (w *watchdog) close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.end(); err != nil {
		return fmt.Errorf("end the watchdog: %w", err)
	}
	return nil
}

func newWatchdogCommand(env *environment) *cobra.Command {
	return &cobra.Command{
		Use:     watchdogName,
		Short:   "End the server processes of an mcpguard that died; serve starts it by itself",
		Example: "  mcpguard serve --config mcpguard.yaml",
		Hidden:  true,
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			// Who ends mcpguard with a signal to all of its processes must not end
			// this one before it has done its work: the pipe says when.
			signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
			return watch(env.stdin, func(group int) { _ = syscall.Kill(-group, syscall.SIGKILL) }) // fails when it is gone
		},
	}
}

// watch reads which groups there are until its input ends, and then kills them.
// SIGKILL, because nobody is left who could see whether they obey another.
func watch(in io.Reader, kill func(group int)) error {
	groups := map[int]bool{}
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		line := lines.Text()
		if len(line) < 2 || line[0] != '+' && line[0] != '-' {
			continue
		}
		group, err := strconv.Atoi(line[1:])
		if err != nil || group <= 1 { // 0 and 1 would be everybody
			continue
		}
		if line[0] == '+' {
			groups[group] = true
		} else {
			delete(groups, group)
		}
	}
	for group := range groups {
		kill(group)
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("watch server processes: %w", err)
	}
	return nil
}
