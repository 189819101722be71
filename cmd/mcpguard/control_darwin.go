package main

import "golang.org/x/sys/unix"

// peerUID is the user who connected a socket (unix(4), LOCAL_PEERCRED).
func peerUID(fd int) (int, error) {
	cred, err := unix.GetsockoptXucred(fd, unix.SOL_LOCAL, unix.LOCAL_PEERCRED)
	if err != nil {
		return -1, err
	}
	return int(cred.Uid), nil
}

// shortPath refuses a path that is too long for a socket: there is no other name.
func shortPath(path string) (short string, release func(), err error) {
	if len(path) > maxSocketPath {
		return "", nil, errLongPath(path)
	}
	return path, func() {}, nil
}
