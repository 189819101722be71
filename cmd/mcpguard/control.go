package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"

	"mcpguard/identity"
	"mcpguard/toolcall"
)

// The control socket is how commands of the user who runs mcpguard speak to the
// process that writes the store. Its folder lets nobody else in, and the system
// says of every connection whose it is.

// maxSocketPath is the longest path that every system takes for a socket, in bytes.
const maxSocketPath = 103

// listenControl opens the control socket. The store's lock is held by this process:
// a socket that is there was left behind by one that died.
func listenControl(path string) (_ net.Listener, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("open the control socket: %w", err)
		}
	}()
	folder := filepath.Dir(path)
	if err := os.Mkdir(folder, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	if err := ownFolder(folder); err != nil {
		return nil, err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	short, release, err := shortPath(path)
	if err != nil {
		return nil, err
	}
	defer release()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: short})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false) // the short name may stand for something else by then
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// errLongPath is the error about a path that no socket can have.
func errLongPath(path string) error {
	return hinted{fmt.Sprintf("%s is longer than the %d bytes that a socket's path may have", path, maxSocketPath), "a shorter path for the store"}
}

// ownFolder refuses a folder that others could have put a socket into.
func ownFolder(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	switch owner, ok := ownerOf(info); {
	case !info.IsDir():
		return fmt.Errorf("%s is not a folder", path)
	case !ok || owner != os.Geteuid():
		return hinted{path + " belongs to another user", "the user who runs mcpguard"}
	case info.Mode().Perm()&0o077 != 0:
		return hinted{fmt.Sprintf("the mode %#o of %s lets others in", info.Mode().Perm(), path), "chmod 700 " + path}
	}
	return nil
}

// ownerOf is the user whose file it is; ok is false where the system does not say.
func ownerOf(info fs.FileInfo) (uid int, ok bool) {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(s.Uid), true
}

// peers is a listener that takes connections of one user.
type peers struct {
	net.Listener
	uid int
	log *slog.Logger
}

// Accept hangs up on everybody else.
func (p peers) Accept() (net.Conn, error) {
	for {
		conn, err := p.Listener.Accept()
		if err != nil {
			return nil, err
		}
		uid, err := peerOf(conn)
		if err == nil && uid == p.uid {
			return conn, nil
		}
		p.log.Warn("a connection to the control socket is refused", "uid", uid, "err", err)
		_ = conn.Close() // nothing was said on it
	}
}

// peerOf is the user at the other end of a connection, as the system vouches for.
func peerOf(conn net.Conn) (uid int, err error) {
	unix, ok := conn.(*net.UnixConn)
	if !ok {
		return -1, errors.New("look who connects: it is no connection of this machine")
	}
	raw, err := unix.SyscallConn()
	if err != nil {
		return -1, fmt.Errorf("look who connects: %w", err)
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { uid, failed = peerUID(int(fd)) }); err != nil {
		return -1, fmt.Errorf("look who connects: %w", err)
	}
	if failed != nil {
		return -1, fmt.Errorf("look who connects: %w", failed)
	}
	return uid, nil
}

// overControl is the handler of the control socket: every request is of the user
// who runs mcpguard.
func (a *admin) overControl() http.Handler {
	name := identity.OSUser()
	user := toolcall.Caller{Person: name, Subject: name, Issuer: controlIssuer, Client: controlIssuer}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.Header.Values("Origin")) > 0 {
			adminError(w, http.StatusForbidden, "the header Origin names a page, and pages may not call")
			return
		}
		a.serve(w, r, visitor{caller: user, standing: administrator})
	})
}

// controlIssuer vouches for callers over the control socket: the system does.
const controlIssuer = "control-socket"
