package main

import (
	"context"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"mcpguard/audit"
)

func (h *house) write(name, text string) {
	h.t.Helper()
	if err := os.WriteFile(filepath.Join(h.dir, name), []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

// reload asks over the admin listener, as the admin does.
func (h *house) reload(body string) (status int, answer string) {
	h.t.Helper()
	req, err := http.NewRequestWithContext(h.t.Context(), http.MethodPost, h.desk.at+reloadPath, strings.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+h.tokens["admins"])
	return h.do(req)
}

const otherPolicy = "version: 1\nroles: {everyone: {allow: [\"echo/*\"]}}\n"

// A reload is build, then swap (law 12): what is not fit to be in force changes
// nothing, says why, and leaves a record of who wanted it.
func TestLawReloadIsBuildThenSwap(t *testing.T) {
	const tests = "policy: POLICY\ncallers: {sam: {groups: [support]}}\ntests: [{name: nothing is sent, as: sam, call: echo/send, args: {}, expect: deny}]\n"
	of := func(policy string) string { return strings.Replace(tests, "POLICY", policy, 1) }
	for name, c := range map[string]struct {
		folder  bool
		files   map[string]string // that are written; "" removes
		body    string
		want    string // in the answer; "" is a reload that succeeds
		changed bool
	}{
		"another policy":       {files: map[string]string{"policy.yaml": otherPolicy}, changed: true},
		"the same":             {},
		"mistakes":             {files: map[string]string{"policy.yaml": otherPolicy + "a: 1\nb: 2\n"}, want: "2 mistakes"},
		"no file":              {files: map[string]string{"policy.yaml": ""}, want: "no such file"},
		"a failing test":       {files: map[string]string{"policy.yaml": otherPolicy, "policy_test.yaml": of("policy.yaml")}, want: "nothing is sent"},
		"another's test":       {files: map[string]string{"policy.yaml": otherPolicy, "z_test.yaml": of("z.yaml"), "z.yaml": otherPolicy}, changed: true},
		"a test with mistakes": {files: map[string]string{"policy.yaml": otherPolicy, "z_test.yaml": "tests: []\n"}, want: "z_test.yaml"},
		"a test of no catalogue": {files: map[string]string{"policy.yaml": otherPolicy, "policy_test.yaml": "tools: lock.json\n" + of("policy.yaml")},
			want: "lock.json: no such file"},
		"one more file":           {folder: true, files: map[string]string{"c.yaml": "version: 1\nroles: {c: {groups: [c], allow: [echo/c]}}\n"}, changed: true},
		"a file that is gone":     {folder: true, files: map[string]string{"b.yaml": ""}, want: "the one in force has b.yaml"},
		"a file that may be gone": {folder: true, files: map[string]string{"b.yaml": ""}, body: `{"allow_removed":true}`, changed: true},
		"a folder's failing test": {folder: true, files: map[string]string{"a.yaml": otherPolicy, "a_test.yaml": of(".")}, want: "nothing is sent"},
		"a part's failing test":   {folder: true, files: map[string]string{"a.yaml": otherPolicy, "a_test.yaml": of("a.yaml")}, want: "nothing is sent"},
		"an unknown wish":         {body: `{"force":true}`, want: "not the JSON that belongs here"},
		"two wishes":              {body: `{}{}`, want: "more than one"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := openHouse(t, openPolicy, func(cfg *Config) {
				if !c.folder {
					return
				}
				cfg.Policy = filepath.Join(filepath.Dir(cfg.Policy), "policies")
				if err := os.Mkdir(cfg.Policy, 0o700); err != nil {
					t.Fatal(err)
				}
				for name, text := range map[string]string{"a.yaml": openPolicy, "b.yaml": "version: 1\nroles: {b: {groups: [b], deny: [echo/b]}}\n"} {
					if err := os.WriteFile(filepath.Join(cfg.Policy, name), []byte(text), 0o600); err != nil {
						t.Fatal(err)
					}
				}
			})
			if c.folder {
				h.dir = h.cfg.Policy
			}
			before := h.guard.engine.Current().Digest()
			for name, text := range c.files {
				if text == "" {
					if err := os.Remove(filepath.Join(h.dir, name)); err != nil {
						t.Fatal(err)
					}
					continue
				}
				h.write(name, text)
			}
			status, answer := h.reload(c.body)
			if (status == http.StatusOK) != (c.want == "") || !strings.Contains(answer, c.want) {
				t.Errorf("answered %d %s, want %q", status, answer, c.want)
			}
			if changed := h.guard.engine.Current().Digest() != before; changed != c.changed {
				t.Errorf("another policy is in force: %v, want %v", changed, c.changed)
			}
			kind, n := audit.PolicyRefused, 1
			if c.changed {
				kind = audit.PolicyLoaded
			}
			found := h.records(kind)
			if kind == audit.PolicyLoaded {
				found = found[1:] // that of the start
			}
			if status == http.StatusBadRequest || c.want == "" && !c.changed {
				n = 0
			}
			if len(found) != n {
				t.Fatalf("%d records of %s, want %d", len(found), kind, n)
			}
			if n == 1 && (found[0].Policy != h.guard.engine.Current().Digest() || !strings.Contains(found[0].Reason.String(), "by mcpguard policy reload") || found[0].ClientAddr != "127.0.0.1") {
				t.Errorf("recorded as %+v", found[0])
			}
		})
	}
}

// A start is a load as well: a policy whose own tests fail starts nothing.
func TestStartRunsThePolicysTests(t *testing.T) {
	h := openHouse(t, openPolicy, nil)
	h.write("policy_test.yaml", "policy: policy.yaml\ncallers: {sam: {groups: [a]}}\ntests: [{name: closed, as: sam, call: echo/a, args: {}, expect: deny}]\n")
	cfg := *h.cfg
	cfg.Store = "sqlite://" + filepath.Join(h.dir, "other.db")
	g, err := wire(t.Context(), &cfg, osEnvironment(), h.desk.admin.log)
	if g != nil || exitCode(err) != exitUsage || !strings.Contains(err.Error(), "policy_test.yaml:3: closed") {
		t.Errorf("started with %v", err)
	}
	if _, err := os.Stat(filepath.Join(h.dir, "other.db")); err == nil {
		t.Error("a store was made for a policy that does not start")
	}
}

// A pipe in the place of a file holds up no load for ever, and while one takes its
// time mcpguard says whether it is ready.
func TestLoadThatTakesItsTime(t *testing.T) {
	h := openHouse(t, openPolicy, nil)
	pipe := filepath.Join(h.dir, "policy_test.yaml")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if status, answer := h.reload(""); status != http.StatusUnprocessableEntity || !strings.Contains(answer, "policy_test.yaml") {
		t.Errorf("a pipe that nobody writes: %d %s", status, answer)
	}
	writer, err := os.OpenFile(pipe, os.O_RDWR, 0) // says nothing until it is closed
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan int)
	go func() {
		status, _ := h.reload("")
		done <- status
	}()
	for h.guard.policies.mu.TryLock() { // until it has begun
		h.guard.policies.mu.Unlock()
		runtime.Gosched()
	}
	if status, body := h.ask(http.MethodGet, h.desk.at+"/readyz"); status != http.StatusOK {
		t.Errorf("while a load is under way: %d %s", status, body)
	}
	select {
	case status := <-done:
		t.Errorf("the load ended before the pipe: %d", status)
		return
	default:
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	if status := <-done; status != http.StatusUnprocessableEntity {
		t.Errorf("answered %d", status)
	}
}

// The watcher reads files when they have been quiet, once, also where the system
// says nothing; and files that were changed while mcpguard started.
func TestWatcherWaitsForQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var looks atomic.Value
		looks.Store("a")
		var loads atomic.Int64
		hint := make(chan struct{})
		w := watcher{look: func() string { return looks.Load().(string) }, changed: func() { loads.Add(1) }, hints: hint}
		go w.run(t.Context(), "a")
		step := func(wait time.Duration, want int64, when string) {
			t.Helper()
			time.Sleep(wait)
			synctest.Wait()
			if got := loads.Load(); got != want {
				t.Errorf("%s: %d loads, want %d", when, got, want)
			}
		}
		step(time.Hour, 0, "nothing happens")
		hint <- struct{}{}
		step(time.Minute, 0, "a word about nothing")
		looks.Store("b")
		hint <- struct{}{}
		step(quietFor/2, 0, "at once")
		looks.Store("c")
		hint <- struct{}{}
		step(quietFor/2+quietFor/4, 0, "while it is being written")
		step(quietFor, 1, "when it is quiet")
		step(time.Hour, 1, "afterwards")
		looks.Store("d")
		step(lookEvery+quietFor+time.Second, 2, "without a word")
		looks.Store("e")
		hint <- struct{}{}
		looks.Store("d")
		step(time.Minute, 2, "back to what it was")
		looks.Store("f")
		for range 30 {
			hint <- struct{}{}
			time.Sleep(quietFor / 3)
		}
		step(0, 3, "while others write files beside it without end")
	})
	synctest.Test(t, func(t *testing.T) {
		var loads atomic.Int64
		go watcher{look: func() string { return "after" }, changed: func() { loads.Add(1) }}.run(t.Context(), "before")
		time.Sleep(lookEvery + quietFor + time.Second)
		synctest.Wait()
		if got := loads.Load(); got != 1 {
			t.Errorf("changed while it started: %d loads", got)
		}
	})
}

// The ways in which files are exchanged look like a change; what the store writes
// beside them does not.
func TestLookAtTellsFilesApart(t *testing.T) {
	dir := folder(t, map[string]string{"policy.yaml": openPolicy})
	put := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	single := filepath.Join(dir, "policy.yaml")
	for _, c := range []struct {
		name   string
		do     func()
		change bool // of the folder
		single bool // of the file
	}{
		{"a write to the store", func() { put("mcpguard.db-wal", "x") }, false, false},
		{"an editor's own file", func() { put(".policy.yaml.swp", "x") }, false, false},
		{"a rename over it", func() { put("tmp", openPolicy); must(os.Rename(filepath.Join(dir, "tmp"), single)) }, true, true},
		{"a test of it", func() { put("policy_test.yaml", "x") }, true, true},
		{"another policy", func() { put("other.yaml", openPolicy) }, true, false},
		{"a version as Kubernetes mounts it", func() {
			for _, version := range []string{"..1", "..2"} {
				must(os.Mkdir(filepath.Join(dir, version), 0o700))
				put(filepath.Join(version, "policy.yaml"), openPolicy)
			}
			must(os.Symlink("..1", filepath.Join(dir, "..data")))
			must(os.Remove(single))
			must(os.Symlink("..data/policy.yaml", single))
		}, true, true},
		{"the next one", func() {
			must(os.Symlink("..2", filepath.Join(dir, "..tmp")))
			must(os.Rename(filepath.Join(dir, "..tmp"), filepath.Join(dir, "..data")))
		}, true, true},
		{"its end", func() { must(os.Remove(single)) }, true, true},
	} {
		wholeBefore, singleBefore := lookAt(dir), lookAt(single)
		c.do()
		if got := lookAt(dir) != wholeBefore; got != c.change {
			t.Errorf("%s changes the folder: %v, want %v", c.name, got, c.change)
		}
		if got := lookAt(single) != singleBefore; got != c.single {
			t.Errorf("%s changes the file: %v, want %v", c.name, got, c.single)
		}
	}
	for name, want := range map[string]bool{"/p/policy.yaml": true, "/p/..data": true, "/p/policies": true, "/p/mcpguard.db-wal": false, "/p/.policy.yaml.swp": false} {
		if got := concerns(name); got != want {
			t.Errorf("a word about %s concerns the policy: %v, want %v", name, got, want)
		}
	}
}

// The system has a word about the policy's folder, and not with every record that
// is written: the folder of the store is only looked at.
func TestTheStoresFolderIsNotListenedTo(t *testing.T) {
	for name, c := range map[string]struct {
		store string
		heard bool
	}{"the store elsewhere": {"elsewhere", true}, "the store beside it": {".", false}} {
		t.Run(name, func(t *testing.T) {
			dir := folder(t, map[string]string{"policy.yaml": openPolicy, "elsewhere/x": ""})
			ctx, stop := context.WithCancel(t.Context())
			var done sync.WaitGroup
			defer done.Wait()
			defer stop()
			words := hints(ctx, &done, filepath.Join(dir, "policy.yaml"), filepath.Join(dir, c.store), slog.New(slog.DiscardHandler))
			if err := os.WriteFile(filepath.Join(dir, "policy.yaml"), []byte(openPolicy), 0o600); err != nil {
				t.Fatal(err)
			}
			if !c.heard {
				stop()
				done.Wait()
				if len(words) > 0 {
					t.Error("there is a word about the folder of the store")
				}
				return
			}
			select {
			case <-words:
			case <-time.After(20 * time.Second):
				t.Error("there is no word about the policy")
			}
		})
	}
}
