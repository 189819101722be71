package identity

import (
	"io/fs"
	"os"
	"syscall"
)

// onlyOwner reports whether a file belongs to this user and its mode lets
// nobody else in.
func onlyOwner(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Geteuid() && info.Mode().Perm()&0o077 == 0
}
