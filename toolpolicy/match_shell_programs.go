package toolpolicy

import "strings"

// ownShellCommand says why a name cannot stand among the programs of a rule:
// what the shell does with it changes what the words behind it mean, and would
// undo the reading. It is "" for all others.
func ownShellCommand(name string) string {
	switch name {
	case "eval", "exec", "command", "builtin", "source", "trap", "noglob", "nocorrect":
		return "the shell runs what its arguments say"
	case "alias", "unalias", "export", "set", "unset", "shopt", "setopt", "unsetopt", "emulate", "hash", "rehash", "enable", "disable",
		"declare", "typeset", "local", "readonly", "integer", "float", "nameref", "let", "read", "mapfile", "readarray", "getopts",
		"wait", "print", "autoload", "zmodload", "complete", "compgen", "bind", "bindkey", "fc", "sched":
		return "it changes variables, names or options of the shell"
	case "if", "then", "else", "elif", "fi", "for", "foreach", "while", "until", "do", "done", "case", "esac", "in", "function",
		"select", "time", "coproc", "repeat", "end":
		return "it belongs to the syntax of some shell"
	}
	return ""
}

// runsPrograms reports whether a program is known to run what its arguments or
// its input say: other programs, or code of its own. Such a one is not allowed
// by its name alone. The list reminds whoever writes a rule; it cannot be
// complete.
func runsPrograms(name string) bool {
	name = name[strings.LastIndexByte(name, '/')+1:]
	bare := strings.TrimRight(name, "0123456789.-") // python3.13
	switch name {                                   // of GNU, where find is another's
	case "gfind", "gxargs", "genv", "gnice", "gnohup", "gtimeout", "gstdbuf", "gchroot", "gsplit", "gsort", "gsed", "gtar", "gtest", "gprintf", "gmake":
		return true
	}
	return runner(name) || runner(bare)
}

func runner(name string) bool {
	switch name {
	case // shells, and what bash evaluates in test -v and printf -v
		"sh", "bash", "rbash", "dash", "ash", "ksh", "mksh", "zsh", "fish", "csh", "tcsh", "yash", "elvish", "nu", "pwsh", "busybox", "toybox",
		"test", "printf",
		// programs whose arguments are a command
		"env", "xargs", "parallel", "find", "fd", "fdfind", "nice", "ionice", "chrt", "taskset", "nohup", "timeout", "setsid", "stdbuf", "unbuffer",
		"sudo", "doas", "su", "runuser", "pkexec", "run-parts", "chroot", "unshare", "nsenter", "setpriv", "capsh", "prlimit", "firejail", "bwrap",
		"setarch", "ifne", "numactl", "xvfb-run", "dbus-run-session", "aria2c", "yt-dlp", "mail", "mailx",
		"proot", "fakeroot", "flock", "watch", "entr", "script", "expect", "strace", "ltrace", "perf", "valgrind", "gdb", "lldb",
		"start-stop-daemon", "systemd-run", "at", "batch", "crontab", "tmux", "screen", "ip",
		// connections, which take a program to run at either end
		"ssh", "scp", "sftp", "rsync", "socat", "nc", "ncat", "netcat", "telnet", "wget", "tcpdump", "nmap",
		// languages
		"awk", "gawk", "mawk", "nawk", "original-awk", "sed", "gsed", "perl", "python", "pypy", "ruby", "irb", "node", "nodejs", "deno", "bun", "php",
		"lua", "luajit", "tclsh", "wish", "guile", "R", "Rscript", "julia", "java", "groovy", "jshell", "osascript", "dc", "m4", "sqlite", "psql", "mysql",
		// editors and pagers
		"ed", "ex", "vi", "vim", "vimdiff", "view", "nvim", "emacs", "nano", "less", "more", "most", "man",
		// what builds, installs and fetches
		"git", "hg", "svn", "gh", "make", "gmake", "bmake", "cmake", "ninja", "just", "go", "cargo", "rustc", "gcc", "g++", "cc", "c++", "clang", "ld",
		"npm", "npx", "pnpm", "yarn", "pip", "pipx", "uv", "uvx", "gem", "bundle", "rake", "mvn", "gradle", "tox", "pytest",
		"apt", "apt-get", "dpkg", "rpm", "yum", "dnf", "apk", "pacman", "brew", "snap", "flatpak",
		"docker", "podman", "nerdctl", "kubectl", "helm", "terraform", "ansible", "ansible-playbook", "vagrant", "systemctl",
		// tar --to-command, sort --compress-program, split --filter, rg --pre
		"tar", "bsdtar", "zip", "cpio", "sort", "split", "install", "logrotate", "rg", "ag":
		return true
	}
	return false
}
