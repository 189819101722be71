package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

// How a change of the policy's files is noticed. The system's word comes at once,
// and not from every file system; looking at the files finds what it missed.
const (
	// quietFor is how long the files must stay as they are before they are read: who
	// writes a file in parts has not finished.
	quietFor = time.Second
	// lookEvery is how often the files are looked at without a word.
	lookEvery = 2 * time.Second
)

// watcher notices that the files of a policy have changed.
type watcher struct {
	look    func() string   // what the files look like now
	changed func()          // they have changed, and been quiet for a while
	hints   <-chan struct{} // something may have happened; nil: nobody says so
}

// run watches until ctx ends. known is what the files looked like before they were
// last read: who changes them in between is not missed.
func (w watcher) run(ctx context.Context, known string) {
	seen := known
	quiet := time.NewTimer(quietFor)
	quiet.Stop()
	defer quiet.Stop()
	every := time.NewTicker(lookEvery)
	defer every.Stop()
	// A word about other files does not put the quiet off: else who writes some beside
	// the policy again and again would keep the next one from coming into force.
	changing := func() {
		if now := w.look(); now != seen {
			seen = now
			quiet.Reset(quietFor)
		}
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.hints:
			changing()
		case <-every.C:
			changing()
		case <-quiet.C:
			now := w.look()
			switch {
			case now != seen: // still being written
				seen = now
				quiet.Reset(quietFor)
			case now != known:
				known = now
				w.changed()
			}
		}
	}
}

// lookAt tells what the files of a policy and its tests look like: their names,
// sizes, times and which files they are. What cannot be looked at is told too.
func lookAt(path string) string {
	var b strings.Builder
	note := func(name string) {
		info, err := os.Stat(name)
		if err != nil {
			fmt.Fprintf(&b, "%s: %v\n", name, err)
			return
		}
		fmt.Fprintf(&b, "%s %d %d %d\n", name, info.Size(), info.ModTime().UnixNano(), inodeOf(info))
	}
	folder, err := isFolder(path)
	if err != nil {
		return err.Error()
	}
	dir := path
	if !folder {
		dir = filepath.Dir(path)
		note(path)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err.Error()
	}
	for _, e := range entries {
		name := e.Name()
		if !strings.HasPrefix(name, ".") && isYAML(name) && (folder || isPolicyTest(name)) {
			note(filepath.Join(dir, name))
		}
	}
	return b.String()
}

// hints listens for the system's word about the folders that a policy's files are
// in. It ends with ctx. Without one the files are still looked at; so they are in the
// folder of the store, of which the system would have a word with every record.
func hints(ctx context.Context, done *sync.WaitGroup, path, storeFolder string, log *slog.Logger) <-chan struct{} {
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		log.Warn("changes of the policy are noticed late", "err", err)
		return nil
	}
	// Folders, not files: editors, and Kubernetes, put another file in the place of
	// the old one.
	folders := map[string]bool{filepath.Dir(path): true}
	if folder, err := isFolder(path); err == nil && folder {
		folders[path] = true
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		folders[filepath.Dir(real)] = true
	}
	for folder := range folders {
		if sameFile(folder, storeFolder) {
			continue
		}
		if err := notify.Add(folder); err != nil {
			log.Warn("changes of the policy are noticed late", "folder", folder, "err", err)
		}
	}
	out := make(chan struct{}, 1)
	done.Go(func() {
		defer func() {
			if err := notify.Close(); err != nil {
				log.Warn("end watching the policy", "err", err)
			}
		}()
		for {
			select {
			case <-ctx.Done():
				return
			case ev, ok := <-notify.Events:
				if !ok {
					return
				}
				if !concerns(ev.Name) {
					continue
				}
			case err, ok := <-notify.Errors:
				if !ok {
					return
				}
				if !errors.Is(err, fsnotify.ErrEventOverflow) {
					log.Warn("watch the policy", "err", err)
				}
			}
			select {
			case out <- struct{}{}:
			default: // one is waiting to be heard
			}
		}
	})
	return out
}

// concerns reports whether a name may be that of a policy's file, or of what leads
// to one: Kubernetes exchanges the link ..data.
func concerns(name string) bool {
	base := filepath.Base(name)
	return isYAML(base) || strings.HasPrefix(base, "..") || filepath.Ext(base) == ""
}
