package main

import (
	"errors"
	"path/filepath"
	"strings"
)

// home is where a user's own files are. Agents start commands without a shell:
// nobody else expands a ~ in what they hand over.
type home struct {
	dir string // absolute; else "" or nothing to rely on
	xdg string // XDG_STATE_HOME, absolute or ""
}

func userHome(env *environment) (home, error) {
	dir, _ := env.lookup("HOME")
	xdg, _ := env.lookup("XDG_STATE_HOME")
	if !filepath.IsAbs(xdg) {
		xdg = "" // a relative one is to be ignored (XDG Base Directory Specification)
	}
	if !filepath.IsAbs(dir) && xdg == "" {
		return home{}, errors.New("find the user's folder: neither HOME nor XDG_STATE_HOME is an absolute path")
	}
	return home{dir: dir, xdg: xdg}, nil
}

// expand replaces a leading ~/ of a path, or of a store's.
func (h home) expand(path string) string {
	scheme, rest, found := strings.Cut(path, "://")
	if found {
		return scheme + "://" + h.expand(rest)
	}
	if rest, ok := strings.CutPrefix(path, "~/"); ok && h.dir != "" {
		return filepath.Join(h.dir, rest)
	}
	return path
}

// state is where what mcpguard keeps without a configuration goes.
func (h home) state() string {
	if h.xdg != "" {
		return filepath.Join(h.xdg, "mcpguard")
	}
	return filepath.Join(h.dir, ".local", "state", "mcpguard")
}
