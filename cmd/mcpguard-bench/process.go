package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a program that the harness started and will end, by its group, so
// that its children go with it.
type process struct {
	name   string
	cmd    *exec.Cmd
	log    string
	exited chan struct{} // closed when the program has ended
}

// startProcess starts a program with its output in dir/name.log.
func startProcess(dir, name, program string, args ...string) (*process, error) {
	p := &process{name: name, log: filepath.Join(dir, name+".log"), exited: make(chan struct{})}
	out, err := os.Create(p.log)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p.cmd = exec.Command(program, args...)
	p.cmd.Dir = dir
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err = p.cmd.Start()
	if closing := out.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is in its log
		close(p.exited)
	}()
	return p, nil
}

// processes are the programs of a measurement, in the order in which they started.
type processes []*process

// launch starts a program in dir and waits until it listens.
func (r *processes) launch(name, dir, listen, program string, args ...string) (*process, error) {
	p, err := startProcess(dir, name, program, args...)
	if err != nil {
		return nil, err
	}
	*r = append(*r, p)
	return p, p.listening(listen, startTime)
}

// stop ends them, those first that talk to others.
func (r *processes) stop() error {
	var errs []error
	for _, p := range slices.Backward(*r) {
		errs = append(errs, p.stop())
	}
	return errors.Join(errs...)
}

// listening waits until the program takes connections at address.
func (p *process) listening(address string, within time.Duration) error {
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	for {
		if conn, err := net.Dial("tcp", address); err == nil {
			return conn.Close()
		}
		select {
		case <-p.exited:
			return fmt.Errorf("%s ended before it listened: %s", p.name, p.tail())
		case <-deadline.C:
			return fmt.Errorf("%s did not listen at %s within %s: %s", p.name, address, within, p.tail())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// tail is the end of what the program said.
func (p *process) tail() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(text[max(0, len(text)-2000):]))
}

// endTime is how long a program may take to end: mcpguard waits for calls, and for
// their records.
const endTime = 45 * time.Second

// stop asks the program to end, and makes it end when it does not.
func (p *process) stop() error {
	group := -p.cmd.Process.Pid
	if err := syscall.Kill(group, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("stop %s: %w", p.name, err)
	}
	select {
	case <-p.exited:
		return nil
	case <-time.After(endTime):
	}
	if err := syscall.Kill(group, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("kill %s: %w", p.name, err)
	}
	<-p.exited
	return fmt.Errorf("stop %s: it did not end when asked and was killed", p.name)
}

// usage is what a process has used since it started.
type usage struct {
	cpu  time.Duration // user and system
	rss  int64         // bytes now
	peak int64         // bytes at most since resetPeak
}

// measure reads usage from /proc, which only Linux has (proc(5)).
func (p *process) measure() (usage, error) {
	dir := "/proc/" + strconv.Itoa(p.cmd.Process.Pid)
	stat, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return usage{}, fmt.Errorf("measure %s: %w", p.name, err)
	}
	status, err := os.ReadFile(dir + "/status")
	if err != nil {
		return usage{}, fmt.Errorf("measure %s: %w", p.name, err)
	}
	u, err := parseUsage(stat, status)
	if err != nil {
		return usage{}, fmt.Errorf("measure %s: %w", p.name, err)
	}
	return u, nil
}

// resetPeak makes the peak of memory start from what is held now.
func (p *process) resetPeak() error {
	name := "/proc/" + strconv.Itoa(p.cmd.Process.Pid) + "/clear_refs"
	if err := os.WriteFile(name, []byte("5"), 0); err != nil {
		return fmt.Errorf("reset the peak of %s: %w", p.name, err)
	}
	return nil
}

// tick is the unit of times in /proc/PID/stat: USER_HZ is 100 on every Linux
// that Go runs on.
const tick = 10 * time.Millisecond

func parseUsage(stat, status []byte) (usage, error) {
	// The name of the command stands in parentheses and may hold anything, so
	// fields are counted from behind its end: the next is the state, field 3.
	end := bytes.LastIndexByte(stat, ')')
	fields := strings.Fields(string(stat[end+1:]))
	if end < 0 || len(fields) < 13 {
		return usage{}, errors.New("parse stat: too few fields")
	}
	var u usage
	for _, field := range fields[11:13] { // utime and stime, fields 14 and 15
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return usage{}, fmt.Errorf("parse stat: %w", err)
		}
		u.cpu += time.Duration(n) * tick
	}
	var err error
	if u.rss, err = statusBytes(status, "VmRSS:"); err != nil {
		return usage{}, err
	}
	u.peak, err = statusBytes(status, "VmHWM:")
	return u, err
}

func statusBytes(status []byte, key string) (int64, error) {
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, key); ok {
			n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("parse status %s %w", key, err)
			}
			return n << 10, nil
		}
	}
	return 0, fmt.Errorf("parse status: no %s", key)
}

// freeAddress finds a loopback address that nobody listens at.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return l.Addr().String(), l.Close()
}
