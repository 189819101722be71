package mcpproxy

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"sync"

	"mcpguard/toolcall"
)

// stdioLink is a server process: a message a line on its stdin and stdout.
type stdioLink struct {
	up    *upstream
	proc  *process
	lines *bufio.Reader

	batches unbatch
	writing sync.Mutex // one line at a time
}

// startServer starts a server process. Its room is the caller's, and is given
// back when the process is gone (law 14).
func (u *upstream) startServer(c toolcall.Caller, shared bool, gone func()) (*mux, error) {
	if err := u.room.takeProcess(c); err != nil {
		return nil, err
	}
	proc, err := startProcess(u)
	if err != nil {
		u.room.leaveProcess(c)
		return nil, &upstreamError{upstream: u.Name, what: "cannot be started", err: err}
	}
	l := &stdioLink{up: u, proc: proc, lines: bufio.NewReaderSize(proc.stdout, 64<<10)}
	return newMux(u, l, shared, func() {
		gone()
		u.room.leaveProcess(c)
	}), nil
}

func (l *stdioLink) receive() (frame, error) {
	f, err := l.message()
	if err != nil {
		_ = l.proc.stdout.Close() // it was only read
	}
	return f, err
}

// message is the next line that is one. Whose answer an unreadable one was cannot
// be known: nobody may wait for it in vain, so it is an error.
func (l *stdioLink) message() (frame, error) {
	if f, ok := l.batches.next(); ok {
		return f, nil
	}
	for {
		line, err := readLine(l.lines, l.up.limits.Bytes)
		if err != nil {
			return frame{}, err
		}
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		if line[0] != '{' && line[0] != '[' {
			l.up.log.Warn("an upstream wrote a line to stdout that is no message", "upstream", l.up.Name)
			continue
		}
		f, err := l.batches.read(string(line), l.up.limits)
		return f, unreadable(l.up.Name, err)
	}
}

// readLine reads up to a line end; the returned bytes are valid until the next
// call only when they fit the reader's buffer, and never kept by the caller.
func readLine(r *bufio.Reader, limit int) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	if err == nil {
		return line, nil
	}
	long := bytes.Clone(line)
	for errors.Is(err, bufio.ErrBufferFull) {
		if len(long) > limit {
			return nil, toolcall.ErrTooLarge
		}
		line, err = r.ReadSlice('\n')
		long = append(long, line...)
	}
	return long, err
}

// oneLine is a message as stdio has it. Line ends in a JSON text stand between
// tokens only, so a space means the same.
func oneLine(text string) []byte {
	line := append([]byte(text), '\n')
	for i, c := range line[:len(line)-1] {
		if c == '\n' || c == '\r' {
			line[i] = ' '
		}
	}
	return line
}

func (l *stdioLink) transmit(ctx context.Context, f frame) error {
	line := oneLine(f.raw.Text())
	l.writing.Lock()
	defer l.writing.Unlock()
	return l.proc.write(ctx, line)
}

func (l *stdioLink) stop() { l.proc.stop() }
